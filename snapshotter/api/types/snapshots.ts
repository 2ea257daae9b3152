// Generated from proto/snapshots.proto by generate.ts; do not edit.
import type { Empty, FieldMask, ServerStream, Timestamp, Unary } from '../well-known.ts';
import type { Mount } from './types.ts';

export interface Snapshots {
  prepare: Unary<PrepareSnapshotRequest, PrepareSnapshotResponse>;
  view: Unary<ViewSnapshotRequest, ViewSnapshotResponse>;
  mounts: Unary<MountsRequest, MountsResponse>;
  commit: Unary<CommitSnapshotRequest, Empty>;
  remove: Unary<RemoveSnapshotRequest, Empty>;
  stat: Unary<StatSnapshotRequest, StatSnapshotResponse>;
  update: Unary<UpdateSnapshotRequest, UpdateSnapshotResponse>;
  list: ServerStream<ListSnapshotsRequest, ListSnapshotsResponse>;
  usage: Unary<UsageRequest, UsageResponse>;
  cleanup: Unary<CleanupRequest, Empty>;
}

export type Kind = 'UNKNOWN' | 'VIEW' | 'ACTIVE' | 'COMMITTED';

export interface Info {
  name: string;
  parent: string;
  kind: Kind;
  createdAt: Timestamp | null;
  updatedAt: Timestamp | null;
  labels: Record<string, string>;
}

export interface PrepareSnapshotRequest {
  snapshotter: string;
  key: string;
  parent: string;
  labels: Record<string, string>;
}

export interface PrepareSnapshotResponse {
  mounts: Mount[];
}

export interface ViewSnapshotRequest {
  snapshotter: string;
  key: string;
  parent: string;
  labels: Record<string, string>;
}

export interface ViewSnapshotResponse {
  mounts: Mount[];
}

export interface MountsRequest {
  snapshotter: string;
  key: string;
}

export interface MountsResponse {
  mounts: Mount[];
}

export interface CommitSnapshotRequest {
  snapshotter: string;
  name: string;
  key: string;
  labels: Record<string, string>;
  parent: string;
}

export interface RemoveSnapshotRequest {
  snapshotter: string;
  key: string;
}

export interface StatSnapshotRequest {
  snapshotter: string;
  key: string;
}

export interface StatSnapshotResponse {
  info: Info | null;
}

export interface UpdateSnapshotRequest {
  snapshotter: string;
  info: Info | null;
  updateMask: FieldMask | null;
}

export interface UpdateSnapshotResponse {
  info: Info | null;
}

export interface ListSnapshotsRequest {
  snapshotter: string;
  filters: string[];
}

export interface ListSnapshotsResponse {
  info: Info[];
}

export interface UsageRequest {
  snapshotter: string;
  key: string;
}

export interface UsageResponse {
  size: number;
  inodes: number;
}

export interface CleanupRequest {
  snapshotter: string;
}
