import { hash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { FormatError } from '../estargz/error.ts';
import { type Compression, inflateMember, isChunkIntact } from '../estargz/member.ts';
import { chunkDigestOf, type InodeTable } from '../tree/inode-table.ts';
import type { DiskReserve } from './disk-reserve.ts';
import { diskError, StoreError } from './error.ts';
import { chunksOf, inflatedSizeBytes, type MemberIndex } from './member-index.ts';
import { isPresent } from './presence.ts';

/** Where a layer's chunks go. */
export interface ChunkTarget {
  /** Digest of the layer, for messages. */
  readonly subject: string;
  readonly table: InodeTable;
  readonly index: MemberIndex;
  readonly bits: Int32Array;
  readonly dataFd: number;
  readonly reserve: DiskReserve;
  readonly compression: Compression;
  /** Called before unverified bytes of the chunk are written. */
  chunkOverwritten(chunk: number): void;
  /** Called once per chunk, after its verified bytes were written. `digest` where the TOC has none: of these bytes. */
  chunkStored(chunk: number, digest?: Uint8Array): void;
}

/** Members up to these sizes are collected whole before they are inflated; larger ones are streamed, see member-stream.ts. */
export const mostCollectedBytes = 256 * 1024;
const mostInflatedBytes = 1024 * 1024;

export function isCollected({ table, index }: ChunkTarget, member: number): boolean {
  return (
    table.memberEnd[member]! - table.memberOffset[member]! <= mostCollectedBytes &&
    inflatedSizeBytes(table, index, member) <= mostInflatedBytes
  );
}

let output: Buffer | undefined;

/**
 * Inflates a whole member, checks each of its chunks and stores those that are missing, all on this thread. Throws
 * StoreError 'corrupt' (bad chunks are not stored, good ones are) or 'disk'.
 */
export function storeMember(target: ChunkTarget, member: number, compressed: Buffer): void {
  const { table, index } = target;
  const chunks = chunksOf(index, member);
  // Without a digest the gzip member's own CRC is the only check there is, and it stands at its end.
  const toEnd = chunks.some((chunk) => table.chunkHasDigest[chunk] !== 1);
  const sizeBytes = inflatedSizeBytes(table, index, member);
  output ??= Buffer.allocUnsafeSlow(mostInflatedBytes);
  let inflated: Buffer;
  try {
    inflated = inflateMember(compressed, target.compression, sizeBytes, { toEnd, output });
  } catch (cause) {
    throw badMember(target, member, cause);
  }
  let rejected: StoreError | undefined;
  for (const chunk of chunks) {
    if (isPresent(target.bits, chunk)) continue;
    const start = table.chunkInnerOffset[chunk]!;
    const bytes = inflated.subarray(start, start + table.chunkSizeBytes[chunk]!);
    const hasDigest = table.chunkHasDigest[chunk] === 1;
    if (hasDigest && !isChunkIntact(bytes, chunkDigestOf(table, chunk))) {
      rejected ??= wrongDigest(target, chunk, member);
      continue;
    }
    writeData(target, bytes, table.chunkDataOffset[chunk]!);
    target.chunkStored(chunk, hasDigest ? undefined : hash('sha256', bytes, 'buffer'));
  }
  if (rejected !== undefined) throw rejected;
}

export function wrongDigest({ table, subject }: ChunkTarget, chunk: number, member: number): StoreError {
  const at = table.memberOffset[member]!;
  return new StoreError(
    'corrupt',
    subject,
    `the content at blob offset ${at} does not match its digest (chunk ${chunk}); not stored`,
  );
}

export function badMember({ table, subject }: ChunkTarget, member: number, cause: unknown): StoreError {
  const reason = cause instanceof FormatError ? cause.message : String(cause);
  return new StoreError(
    'corrupt',
    subject,
    `the member at blob offset ${table.memberOffset[member]!} is damaged: ${reason}`,
    cause,
  );
}

/** Writes all bytes at that offset; continues after a short write. */
export function writeData(target: ChunkTarget, bytes: Uint8Array, dataOffset: number): void {
  try {
    target.reserve.use(bytes.length);
    for (let done = 0; done < bytes.length; )
      done += writeSync(target.dataFd, bytes, done, bytes.length - done, dataOffset + done);
  } catch (cause) {
    throw diskError(target.subject, 'cannot write to the layer store', cause);
  }
}
