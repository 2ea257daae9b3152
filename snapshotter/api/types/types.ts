// Generated from proto/types.proto by generate.ts; do not edit.
import type { Any, Timestamp } from '../well-known.ts';

export interface Mount {
  type: string;
  source: string;
  target: string;
  options: string[];
}

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  annotations: Record<string, string>;
}

export interface Platform {
  os: string;
  architecture: string;
  variant: string;
  osVersion: string;
}

export interface Metric {
  timestamp: Timestamp | null;
  id: string;
  data: Any | null;
}
