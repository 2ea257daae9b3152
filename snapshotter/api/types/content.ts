// Generated from proto/content.proto by generate.ts; do not edit.
import type { Empty, ServerStream, Timestamp, Unary } from '../well-known.ts';

export interface Content {
  info: Unary<InfoRequest, InfoResponse>;
  list: ServerStream<ListContentRequest, ListContentResponse>;
  delete: Unary<DeleteContentRequest, Empty>;
  read: ServerStream<ReadContentRequest, ReadContentResponse>;
}

export interface Info {
  digest: string;
  size: number;
  createdAt: Timestamp | null;
  updatedAt: Timestamp | null;
  labels: Record<string, string>;
}

export interface InfoRequest {
  digest: string;
}

export interface InfoResponse {
  info: Info | null;
}

export interface ListContentRequest {
  filters: string[];
}

export interface ListContentResponse {
  info: Info[];
}

export interface DeleteContentRequest {
  digest: string;
}

export interface ReadContentRequest {
  digest: string;
  offset: number;
  size: number;
}

export interface ReadContentResponse {
  offset: number;
  data: Buffer;
}
