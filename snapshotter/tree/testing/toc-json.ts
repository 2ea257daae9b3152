import { digestOf } from '../../registry/digest.ts';
import { type BuildOptions, type BuiltTree, buildInodeTable } from '../build.ts';

export interface JsonEntry {
  name?: string;
  type: string;
  [field: string]: unknown;
}

export const contentDigest = digestOf('content');

export function encodeToc(entries: readonly JsonEntry[]): Buffer {
  return Buffer.from(JSON.stringify({ version: 1, entries }));
}

export function buildTree(entries: readonly JsonEntry[], options: Partial<BuildOptions> = {}): BuiltTree {
  return buildInodeTable(encodeToc(entries), { payloadEnd: 1_000_000, opaqueXattr: 'trusted', ...options });
}

export function dir(name: string, fields: object = {}): JsonEntry {
  return { name, type: 'dir', mode: 0o755, ...fields };
}

/** A file in one chunk. */
export function file(name: string, size: number, offset: number, fields: object = {}): JsonEntry {
  return {
    name,
    type: 'reg',
    mode: 0o644,
    size,
    ...(size > 0 ? { offset, chunkDigest: contentDigest } : {}),
    ...fields,
  };
}

export function chunk(
  name: string,
  offset: number,
  chunkOffset: number,
  chunkSize: number,
  fields: object = {},
): JsonEntry {
  return { name, type: 'chunk', offset, chunkOffset, chunkSize, chunkDigest: contentDigest, ...fields };
}
