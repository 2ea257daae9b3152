// Generated from proto/containers.proto by generate.ts; do not edit.
import type { Any, Empty, Timestamp, Unary } from '../well-known.ts';

export interface Containers {
  get: Unary<GetContainerRequest, GetContainerResponse>;
  list: Unary<ListContainersRequest, ListContainersResponse>;
  create: Unary<CreateContainerRequest, CreateContainerResponse>;
  delete: Unary<DeleteContainerRequest, Empty>;
}

export interface Container_Runtime {
  name: string;
  options: Any | null;
}

export interface Container {
  id: string;
  labels: Record<string, string>;
  image: string;
  runtime: Container_Runtime | null;
  spec: Any | null;
  snapshotter: string;
  snapshotKey: string;
  createdAt: Timestamp | null;
  updatedAt: Timestamp | null;
  extensions: Record<string, Any>;
  sandbox: string;
}

export interface GetContainerRequest {
  id: string;
}

export interface GetContainerResponse {
  container: Container | null;
}

export interface ListContainersRequest {
  filters: string[];
}

export interface ListContainersResponse {
  containers: Container[];
}

export interface CreateContainerRequest {
  container: Container | null;
}

export interface CreateContainerResponse {
  container: Container | null;
}

export interface DeleteContainerRequest {
  id: string;
}
