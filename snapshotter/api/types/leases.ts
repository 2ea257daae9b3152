// Generated from proto/leases.proto by generate.ts; do not edit.
import type { Empty, Timestamp, Unary } from '../well-known.ts';

export interface Leases {
  create: Unary<CreateRequest, CreateResponse>;
  delete: Unary<DeleteRequest, Empty>;
  list: Unary<ListRequest, ListResponse>;
}

export interface Lease {
  id: string;
  createdAt: Timestamp | null;
  labels: Record<string, string>;
}

export interface CreateRequest {
  id: string;
  labels: Record<string, string>;
}

export interface CreateResponse {
  lease: Lease | null;
}

export interface DeleteRequest {
  id: string;
  sync: boolean;
}

export interface ListRequest {
  filters: string[];
}

export interface ListResponse {
  leases: Lease[];
}
