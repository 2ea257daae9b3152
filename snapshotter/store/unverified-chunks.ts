import { createHash, hash } from 'node:crypto';
import { read } from 'node:fs';
import { promisify } from 'node:util';
import type { InodeTable } from '../tree/inode-table.ts';

/**
 * Chunks that an earlier daemon stored, by its bitmap. The disk may have changed since, so each counts as present only after
 * its digest was checked again: at its first read, or in the background.
 */
export interface UnverifiedChunks {
  /** One bit a chunk, as in presence.ts. */
  readonly words: Int32Array;
  readonly count: number;
  has(chunk: number): boolean;
  /** The chunk is about to be overwritten: it needs no verification any more. */
  drop(chunk: number): void;
  /** Settles those of chunks [first, end) that are unverified, each by `verified` or `damaged`. Rejects as `signal` does. */
  verify(first: number, end: number, signal?: AbortSignal): Promise<void>;
  /** Ends verification. Resolves when the data file is not in use. */
  close(): Promise<void>;
}

export interface UnverifiedChunksOptions {
  readonly table: InodeTable;
  /** The bits found on disk; taken over. */
  readonly words: Int32Array;
  readonly dataFd: number;
  /** SHA-256 of the chunk's content; undefined if unknown, which makes the chunk missing. */
  digestOf(chunk: number): Uint8Array | undefined;
  verified(chunk: number): void;
  /** Its content on disk is damaged or cannot be verified. */
  damaged(chunk: number): void;
}

/** Hashing this much takes the main thread 0.3 ms with SHA instructions and 1.3 ms without. */
const pieceBytes = 512 * 1024;
const readAsync = promisify(read);
/** One buffer for all layers: hashing dominates, and runs one at a time anyway. */
let piece: Buffer | undefined;
let pieceFree: Promise<unknown> = Promise.resolve();

export function createUnverifiedChunks(options: UnverifiedChunksOptions): UnverifiedChunks {
  const { table, words, dataFd, digestOf, verified, damaged } = options;
  const { chunkDataOffset, chunkSizeBytes, chunkCount } = table;
  const underWay = new Map<number, Promise<void>>();
  let isClosed = false;
  let count = 0;
  for (let chunk = 0; chunk < chunkCount; chunk++) if (has(chunk)) count++;

  function has(chunk: number): boolean {
    return ((words[chunk >>> 5]! >>> (chunk & 31)) & 1) === 1;
  }

  function drop(chunk: number): void {
    if (!has(chunk)) return;
    words[chunk >>> 5]! &= ~(1 << (chunk & 31));
    count--;
  }

  /** A chunk that was stored or overwritten meanwhile is no longer ours to settle. */
  function settle(chunk: number, isIntact: boolean): void {
    if (!has(chunk) || isClosed) return;
    drop(chunk);
    if (isIntact) verified(chunk);
    else damaged(chunk);
  }

  /** The run of unverified chunks from `first` on that fits one piece; at least that one. */
  function pieceEnd(first: number, end: number): number {
    const limit = chunkDataOffset[first]! + pieceBytes;
    let chunk = first + 1;
    while (
      chunk < end &&
      has(chunk) &&
      !underWay.has(chunk) &&
      chunkDataOffset[chunk]! + chunkSizeBytes[chunk]! <= limit
    )
      chunk++;
    return chunk;
  }

  async function check(first: number, end: number): Promise<void> {
    if (chunkSizeBytes[first]! > pieceBytes) return settle(first, await isLargeIntact(first));
    await withPiece(async (buffer) => {
      const start = chunkDataOffset[first]!;
      const length = chunkDataOffset[end - 1]! + chunkSizeBytes[end - 1]! - start;
      const isRead = await fill(buffer, length, start);
      for (let chunk = first; chunk < end; chunk++) {
        const digest = digestOf(chunk);
        const at = chunkDataOffset[chunk]! - start;
        const bytes = buffer.subarray(at, at + chunkSizeBytes[chunk]!);
        settle(chunk, isRead && digest !== undefined && hash('sha256', bytes, 'buffer').equals(digest));
      }
    });
  }

  async function isLargeIntact(chunk: number): Promise<boolean> {
    const digest = digestOf(chunk);
    if (digest === undefined) return false;
    const whole = createHash('sha256');
    const start = chunkDataOffset[chunk]!;
    const end = start + chunkSizeBytes[chunk]!;
    for (let at = start; at < end; at += pieceBytes) {
      const length = Math.min(pieceBytes, end - at);
      const isRead = await withPiece(async (buffer) => {
        if (isClosed || !has(chunk) || !(await fill(buffer, length, at))) return false;
        whole.update(buffer.subarray(0, length));
        return true;
      });
      if (!isRead) return false;
    }
    return whole.digest().equals(digest);
  }

  /** False if the bytes cannot be read: they are fetched again. */
  async function fill(buffer: Buffer, length: number, position: number): Promise<boolean> {
    for (let done = 0; done < length; ) {
      if (isClosed) return false;
      try {
        const { bytesRead } = await readAsync(dataFd, buffer, done, length - done, position + done);
        if (bytesRead === 0) return false;
        done += bytesRead;
      } catch {
        return false;
      }
    }
    return true;
  }

  return {
    words,
    get count() {
      return count;
    },
    has,
    drop,
    async verify(first, end, signal) {
      for (let chunk = first; chunk < end && count > 0 && !isClosed; chunk++) {
        if (!has(chunk)) continue;
        let checking = underWay.get(chunk);
        if (checking === undefined) {
          const last = pieceEnd(chunk, end);
          const begun = chunk;
          checking = check(begun, last).finally(() => {
            for (let done = begun; done < last; done++) underWay.delete(done);
          });
          for (let taken = begun; taken < last; taken++) underWay.set(taken, checking);
        }
        await checking;
        signal?.throwIfAborted();
      }
    },
    async close() {
      isClosed = true;
      await Promise.allSettled(underWay.values());
    },
  };
}

/** Lends the buffer to one caller at a time, in order of request. */
function withPiece<Result>(use: (buffer: Buffer) => Promise<Result>): Promise<Result> {
  piece ??= Buffer.allocUnsafeSlow(pieceBytes);
  const buffer = piece;
  const used = pieceFree.then(() => use(buffer));
  pieceFree = used.catch(() => {});
  return used;
}
