// Generated from proto/namespaces.proto by generate.ts; do not edit.
import type { Empty, Unary } from '../well-known.ts';

export interface Namespaces {
  get: Unary<GetNamespaceRequest, GetNamespaceResponse>;
  list: Unary<ListNamespacesRequest, ListNamespacesResponse>;
  create: Unary<CreateNamespaceRequest, CreateNamespaceResponse>;
  delete: Unary<DeleteNamespaceRequest, Empty>;
}

export interface Namespace {
  name: string;
  labels: Record<string, string>;
}

export interface GetNamespaceRequest {
  name: string;
}

export interface GetNamespaceResponse {
  namespace: Namespace | null;
}

export interface ListNamespacesRequest {
  filter: string;
}

export interface ListNamespacesResponse {
  namespaces: Namespace[];
}

export interface CreateNamespaceRequest {
  namespace: Namespace | null;
}

export interface CreateNamespaceResponse {
  namespace: Namespace | null;
}

export interface DeleteNamespaceRequest {
  name: string;
}
