// Generated from proto/introspection.proto by generate.ts; do not edit.
import type { Any, Empty, Unary } from '../well-known.ts';
import type { Platform } from './types.ts';

export interface Introspection {
  plugins: Unary<PluginsRequest, PluginsResponse>;
  server: Unary<Empty, ServerResponse>;
}

export interface InitError {
  code: number;
  message: string;
  details: Any[];
}

export interface Plugin {
  type: string;
  id: string;
  requires: string[];
  platforms: Platform[];
  exports: Record<string, string>;
  capabilities: string[];
  initErr: InitError | null;
}

export interface PluginsRequest {
  filters: string[];
}

export interface PluginsResponse {
  plugins: Plugin[];
}

export interface ServerResponse {
  uuid: string;
  pid: number;
  pidns: number;
}
