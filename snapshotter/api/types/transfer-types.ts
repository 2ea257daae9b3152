// Generated from proto/transfer-types.proto by generate.ts; do not edit.
import type { Platform } from './types.ts';

export interface OCIRegistry {
  reference: string;
  resolver: RegistryResolver | null;
}

export interface RegistryResolver {
  authStream: string;
  headers: Record<string, string>;
  hostDir: string;
  defaultScheme: string;
}

export interface ImageStore {
  name: string;
  labels: Record<string, string>;
  platforms: Platform[];
  allMetadata: boolean;
  manifestLimit: number;
  unpacks: UnpackConfiguration[];
}

export interface UnpackConfiguration {
  platform: Platform | null;
  snapshotter: string;
}
