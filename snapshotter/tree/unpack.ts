import { zstdDecompressSync } from 'node:zlib';
import type { Compression } from '../estargz/inflater.ts';
import { packedTocMagic } from '../estargz/packed-toc.ts';
import { DIGEST_BYTES, type Digest, isDigest } from '../registry/digest.ts';
import type { BuiltTree, Landmark } from './build.ts';
import { allocateInodeTable, type InodeTable, inodeTableSizeBytes } from './inode-table.ts';
import { type MemoryAccount, unlimitedMemory, WorkingMemory } from './memory.ts';
import { nodeLimit } from './name-tree.ts';
import { isWhole } from './object-columns.ts';
import {
  type PackedColumns,
  type PackedHeader,
  packedColumnsBytes,
  refusePacked,
  viewPackedColumns,
} from './packed-columns.ts';
import { takeAtOnce, type Steps } from './steps.ts';
import { unpackChunks } from './unpack-chunks.ts';
import { unpackDirents, unpackInodes, unpackXattrs } from './unpack-inodes.ts';

export interface UnpackOptions {
  /** Of the blob's footer. */
  readonly payloadEnd: number;
  readonly compression: Compression;
  readonly opaqueXattr: 'trusted' | 'user';
  /** Charged for the work, and for the table, which the caller gives back with it. */
  readonly memory?: MemoryAccount;
}

export interface UnpackedTree {
  readonly tree: BuiltTree;
  readonly tocDigest: Digest;
}

const maxHeaderBytes = 4096;
const noInodes = new Uint32Array();

/**
 * The tree of a packed TOC's content (packed-columns.ts): of the same shape as `buildInodeTable` makes of the TOC, and checked
 * as strictly. What `packTree` would not have written is refused: throws FormatError 'packed-toc', or 'limit'.
 */
export function unpackTree(content: Uint8Array, options: UnpackOptions): UnpackedTree {
  return takeAtOnce(unpackInSteps(content, options));
}

/** The same in steps, of some milliseconds for 100,000 entries. */
export function* unpackInSteps(content: Uint8Array, options: UnpackOptions): Steps<UnpackedTree> {
  const { memory = unlimitedMemory, payloadEnd } = options;
  const working = new WorkingMemory(memory);
  try {
    const { header, columnsAt } = readHeader(Buffer.from(content.buffer, content.byteOffset, content.byteLength));
    if (header.payloadEnd !== payloadEnd) throw refusePacked(`it is of a blob of ${header.payloadEnd} bytes`);
    if (header.hasMarks && options.opaqueXattr !== 'trusted')
      throw refusePacked('its marks are in the namespace trusted, and the overlay is mounted with userxattr');
    const columnsBytes = packedColumnsBytes(header);
    // The inflated bytes, and their copy.
    working.take(2 * columnsBytes);
    const digestsAt = columnsAt + header.columnsBytes;
    const columns = inflateColumns(content.subarray(columnsAt, digestsAt), columnsBytes, header);
    yield;
    memory.take(inodeTableSizeBytes(header));
    const table = allocateInodeTable(header);
    try {
      yield* fillTable(table, columns, content.subarray(digestsAt), header, options);
    } catch (error) {
      memory.give(table.shared.byteLength);
      throw error;
    }
    const { landmark, unverifiableChunkCount, tocDigest, hasMarks } = header;
    const independent = { implied: noInodes, replaced: [] };
    const tree = { table, landmark: landmark ?? undefined, unverifiableChunkCount, hasMarks, ...independent };
    return { tree, tocDigest: tocDigest as Digest };
  } finally {
    working.giveAll();
  }
}

function* fillTable(
  table: InodeTable,
  columns: PackedColumns,
  digests: Uint8Array,
  header: PackedHeader,
  { payloadEnd, compression, opaqueXattr }: UnpackOptions,
): Steps<void> {
  const { hasMarks } = header;
  table.pool.set(columns.pool);
  unpackInodes(table, columns, hasMarks);
  yield;
  const targetsAt = unpackDirents(table, columns);
  yield;
  unpackXattrs(table, columns, targetsAt, { opaqueXattr, hasMarks });
  unpackChunks(table, columns, payloadEnd, compression);
  yield;
  unpackDigests(table, columns, digests, header.unverifiableChunkCount);
}

function unpackDigests(table: InodeTable, columns: PackedColumns, digests: Uint8Array, missingCount: number): void {
  const { chunkCount, chunkDigest, chunkHasDigest } = table;
  if (digests.length !== (chunkCount - missingCount) * DIGEST_BYTES)
    throw refusePacked(`it has ${digests.length} bytes of digests`);
  chunkHasDigest.set(columns.chunkHasDigest);
  if (missingCount === 0) {
    if (chunkHasDigest.some((has) => has !== 1)) throw refusePacked('it counts its digests wrongly');
    chunkDigest.set(digests);
    return;
  }
  let at = 0;
  for (let chunk = 0; chunk < chunkCount; chunk++) {
    if (chunkHasDigest[chunk]! > 1) throw refusePacked('it counts its digests wrongly');
    if (chunkHasDigest[chunk] === 0) continue;
    chunkDigest.set(digests.subarray(at, at + DIGEST_BYTES), chunk * DIGEST_BYTES);
    at += DIGEST_BYTES;
  }
  if (at !== digests.length) throw refusePacked('it counts its digests wrongly');
}

function readHeader(content: Buffer): { readonly header: PackedHeader; readonly columnsAt: number } {
  const headerAt = packedTocMagic.length + 4;
  if (content.length < headerAt || !packedTocMagic.equals(content.subarray(0, packedTocMagic.length)))
    throw refusePacked('it has no magic');
  const headerBytes = content.readUInt32LE(packedTocMagic.length);
  const columnsAt = headerAt + headerBytes;
  if (headerBytes > maxHeaderBytes || columnsAt > content.length) throw refusePacked('its header is too long');
  let header: unknown;
  try {
    header = JSON.parse(content.toString('utf8', headerAt, columnsAt));
  } catch (cause) {
    throw refusePacked('its header is not JSON', cause);
  }
  if (!isHeader(header) || columnsAt + header.columnsBytes > content.length)
    throw refusePacked('its header has an impossible value');
  return { header, columnsAt };
}

function isHeader(value: unknown): value is PackedHeader {
  if (typeof value !== 'object' || value === null) return false;
  const header = value as Partial<Record<keyof PackedHeader, unknown>>;
  const counts = [header.inodeCount, header.direntCount, header.xattrCount, header.chunkCount, header.memberCount];
  const sizes = [header.poolSizeBytes, header.dataSizeBytes, header.payloadEnd, header.columnsBytes];
  return (
    counts.every((count) => Number.isInteger(count) && isWhole(count as number, nodeLimit)) &&
    sizes.every((size) => Number.isSafeInteger(size) && (size as number) >= 0) &&
    (header.inodeCount as number) > 0 &&
    (header.poolSizeBytes as number) < 2 ** 32 &&
    Number.isInteger(header.unverifiableChunkCount) &&
    isWhole(header.unverifiableChunkCount as number, header.chunkCount as number) &&
    typeof header.hasMarks === 'boolean' &&
    typeof header.tocDigest === 'string' &&
    isDigest(header.tocDigest) &&
    isLandmark(header.landmark, header.payloadEnd as number)
  );
}

function isLandmark(value: unknown, payloadEnd: number): boolean {
  if (value === null) return true;
  if (typeof value !== 'object') return false;
  const { kind, endOffset } = value as Partial<Extract<Landmark, { kind: 'prefetch' }>>;
  return (
    (kind as string) === 'none' ||
    (kind === 'prefetch' && Number.isInteger(endOffset) && isWhole(endOffset!, payloadEnd))
  );
}

function inflateColumns(frame: Uint8Array, sizeBytes: number, header: PackedHeader): PackedColumns {
  const bytes = new Uint8Array(sizeBytes);
  try {
    const inflated = zstdDecompressSync(frame, { maxOutputLength: Math.max(1, sizeBytes) });
    if (inflated.length !== sizeBytes) throw new Error(`they are ${inflated.length} bytes, not ${sizeBytes}`);
    bytes.set(inflated);
  } catch (cause) {
    throw refusePacked(`its columns do not inflate: ${(cause as Error).message}`, cause);
  }
  return viewPackedColumns(bytes, header);
}
