// Generated from proto/version.proto by generate.ts; do not edit.
import type { Empty, Unary } from '../well-known.ts';

export interface Version {
  version: Unary<Empty, VersionResponse>;
}

export interface VersionResponse {
  version: string;
  revision: string;
}
