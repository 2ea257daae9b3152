// Generated from proto/diff.proto by generate.ts; do not edit.
import type { Unary } from '../well-known.ts';
import type { Descriptor, Mount } from './types.ts';

export interface Diff {
  apply: Unary<ApplyRequest, ApplyResponse>;
}

export interface ApplyRequest {
  diff: Descriptor | null;
  mounts: Mount[];
}

export interface ApplyResponse {
  applied: Descriptor | null;
}
