import { setTimeout as sleep } from 'node:timers/promises';
import { untilAborted } from '../../platform/abort.ts';
import type { BlobSource } from '../../registry/blob.ts';
import { type Digest, digestOf } from '../../registry/digest.ts';

export interface MemorySource extends BlobSource {
  /** Every range asked for, in order. */
  readonly requests: { readonly start: number; readonly end: number }[];
  bytesSent: number;
  /** What the next requests meet: an error before the first byte, or the body ending after that many bytes. */
  failure: { readonly error: Error; readonly afterBytes?: number } | undefined;
  /** While set, bodies wait for it before each piece. */
  gate: Promise<void> | undefined;
}

export interface MemorySourceOptions {
  readonly digest?: Digest;
  readonly pieceBytes?: number;
  /** Before the first byte of each answer. */
  readonly rttMs?: number;
}

/** A registry's blob that lies in memory: a stand-in for tests that steer when bytes arrive and how transfers fail. */
export function memorySource(bytes: Buffer, options: MemorySourceOptions = {}): MemorySource {
  const pieceBytes = options.pieceBytes ?? 16 * 1024;
  const source: MemorySource = {
    digest: options.digest ?? digestOf(bytes),
    requests: [],
    bytesSent: 0,
    failure: undefined,
    gate: undefined,
    async fetchSuffix(lengthBytes, signal) {
      const offset = Math.max(0, bytes.length - lengthBytes);
      source.requests.push({ start: offset, end: bytes.length });
      if (options.rttMs !== undefined) await sleep(options.rttMs, undefined, { signal });
      if (source.failure !== undefined) throw source.failure.error;
      source.bytesSent += bytes.length - offset;
      return { bytes: bytes.subarray(offset), offset, blobSizeBytes: bytes.length, servers: new Set(['memory']) };
    },
    distrust: () => false,
    async *fetchRange(start, end, signal) {
      source.requests.push({ start, end });
      if (options.rttMs !== undefined) await sleep(options.rttMs, undefined, { signal });
      // Lent until the next piece, as the network's buffers are: reused here, so that whoever keeps one sees it change.
      const lent = Buffer.alloc(pieceBytes);
      for (let at = start; at < end; at += pieceBytes) {
        if (source.gate !== undefined) await untilAborted(source.gate, signal);
        signal.throwIfAborted();
        if (source.failure !== undefined && at - start >= (source.failure.afterBytes ?? 0)) throw source.failure.error;
        const size = bytes.copy(lent, 0, at, Math.min(at + pieceBytes, end));
        source.bytesSent += size;
        yield lent.subarray(0, size);
      }
    },
  };
  return source;
}
