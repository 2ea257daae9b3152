import { hash } from 'node:crypto';
import type { MemberCompressor } from './compress.ts';

export interface Batch {
  readonly slot: number;
  /** Members lie end to end in the slot's raw buffer. */
  readonly memberSizes: readonly number[];
  /** [start, size] in the raw buffer of each chunk to hash. */
  readonly chunks: readonly (readonly [number, number])[];
}

export interface BatchReply {
  readonly slot: number;
  readonly compressedSizes: readonly number[];
  /** Hex sha256 of each chunk. */
  readonly digests: readonly string[];
}

/** Compresses each member of `raw` into `compressed`, end to end, and hashes the chunks. */
export function compressBatch(
  compressor: MemberCompressor,
  { slot, memberSizes, chunks }: Batch,
  raw: Buffer,
  compressed: Buffer,
): BatchReply {
  const compressedSizes: number[] = [];
  let readAt = 0;
  let writeAt = 0;
  for (const sizeBytes of memberSizes) {
    const written = compressor.compress(raw.subarray(readAt, readAt + sizeBytes), compressed.subarray(writeAt));
    compressedSizes.push(written);
    readAt += sizeBytes;
    writeAt += written;
  }
  const digests = chunks.map(([start, sizeBytes]) => hash('sha256', raw.subarray(start, start + sizeBytes), 'hex'));
  return { slot, compressedSizes, digests };
}
