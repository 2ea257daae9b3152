// Generated from proto/tasks.proto by generate.ts; do not edit.
import type { Any, Empty, Timestamp, Unary } from '../well-known.ts';
import type { Process } from './task.ts';
import type { Descriptor, Metric, Mount } from './types.ts';

export interface Tasks {
  create: Unary<CreateTaskRequest, CreateTaskResponse>;
  start: Unary<StartRequest, StartResponse>;
  delete: Unary<DeleteTaskRequest, DeleteResponse>;
  get: Unary<GetRequest, GetResponse>;
  list: Unary<ListTasksRequest, ListTasksResponse>;
  kill: Unary<KillRequest, Empty>;
  closeIo: Unary<CloseIORequest, Empty>;
  metrics: Unary<MetricsRequest, MetricsResponse>;
  wait: Unary<WaitRequest, WaitResponse>;
}

export interface CreateTaskRequest {
  containerId: string;
  rootfs: Mount[];
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
  checkpoint: Descriptor | null;
  options: Any | null;
  runtimePath: string;
}

export interface CreateTaskResponse {
  containerId: string;
  pid: number;
}

export interface StartRequest {
  containerId: string;
  execId: string;
}

export interface StartResponse {
  pid: number;
}

export interface DeleteTaskRequest {
  containerId: string;
}

export interface DeleteResponse {
  id: string;
  pid: number;
  exitStatus: number;
  exitedAt: Timestamp | null;
}

export interface GetRequest {
  containerId: string;
  execId: string;
}

export interface GetResponse {
  process: Process | null;
}

export interface ListTasksRequest {
  filter: string;
}

export interface ListTasksResponse {
  tasks: Process[];
}

export interface KillRequest {
  containerId: string;
  execId: string;
  signal: number;
  all: boolean;
}

export interface CloseIORequest {
  containerId: string;
  execId: string;
  stdin: boolean;
}

export interface MetricsRequest {
  filters: string[];
}

export interface MetricsResponse {
  metrics: Metric[];
}

export interface WaitRequest {
  containerId: string;
  execId: string;
}

export interface WaitResponse {
  exitStatus: number;
  exitedAt: Timestamp | null;
}
