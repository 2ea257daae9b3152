import { FormatError } from '../estargz/error.ts';
import type { Landmark } from './build.ts';
import { type ColumnOf, type ColumnViews, columnsSizeBytes, viewColumns } from './column-layout.ts';
import type { InodeTableCounts } from './inode-table.ts';

/**
 * A packed TOC holds a layer's tree nearly as the daemon needs it, so that a pull neither parses JSON nor looks up names. Its
 * content, little-endian:
 *
 *     magic, 8 bytes | LE32 n | n bytes of JSON: PackedHeader | columns, a zstd frame | digests of the chunks that have one
 *
 * The columns in this order, without padding. What follows from others is left out: offsets are sums of lengths, parents and link
 * counts follow from the directories, a chunk's file and place from the order of chunks.
 */
export interface PackedHeader extends InodeTableCounts {
  /** Of the TOC's raw JSON. */
  readonly tocDigest: string;
  /** As in the blob's footer. */
  readonly payloadEnd: number;
  readonly landmark: Landmark | null;
  readonly unverifiableChunkCount: number;
  /** As of `BuiltTree`: the tree is that of an upper layer, with marks in the namespace trusted. */
  readonly hasMarks: boolean;
  /** Of the compressed columns. */
  readonly columnsBytes: number;
}

type Extent = 'inode' | 'dirent' | 'xattr' | 'chunk' | 'member' | 'pool';

/** Rows of inodes begin with inode 1. */
const columns = [
  /** Regular files; others have sizes of their kind. */
  ['fileSize', Float64Array, 'inode'],
  ['mtimeSec', Float64Array, 'inode'],
  /** 0: all that is left of the file. */
  ['chunkSize', Float64Array, 'chunk'],
  ['chunkInnerOffset', Float64Array, 'chunk'],
  /** Bytes between the end of the member before, or the blob's start, and this one. */
  ['memberGap', Float64Array, 'member'],
  ['memberSize', Float64Array, 'member'],
  ['mode', Uint32Array, 'inode'],
  ['uid', Uint32Array, 'inode'],
  ['gid', Uint32Array, 'inode'],
  ['rdev', Uint32Array, 'inode'],
  ['mtimeNsec', Uint32Array, 'inode'],
  ['direntLength', Uint32Array, 'inode'],
  ['xattrLength', Uint32Array, 'inode'],
  ['targetLength', Uint32Array, 'inode'],
  /** Differences to the row before, modulo 2^32; likewise below. */
  ['direntInodeStep', Uint32Array, 'dirent'],
  ['xattrNameLength', Uint32Array, 'xattr'],
  ['xattrValueLength', Uint32Array, 'xattr'],
  ['chunkInodeStep', Uint32Array, 'chunk'],
  ['chunkMemberStep', Uint32Array, 'chunk'],
  ['direntNameLength', Uint8Array, 'dirent'],
  ['chunkHasDigest', Uint8Array, 'chunk'],
  /** Names in the order of dirents, targets in that of inodes, then each attribute's name and value. */
  ['pool', Uint8Array, 'pool'],
] as const satisfies readonly ColumnOf<Extent>[];

/** Those that have the names of the table's, whose rows begin with inode 0. */
export const inodeColumns = [
  'mtimeSec',
  'mode',
  'uid',
  'gid',
  'rdev',
  'mtimeNsec',
  'direntLength',
  'xattrLength',
  'targetLength',
] as const;

export type PackedColumns = ColumnViews<(typeof columns)[number]>;

export function packedColumnsBytes(counts: InodeTableCounts): number {
  return columnsSizeBytes<Extent>(columns, (extent) => lengthOf(extent, counts));
}

/** Views `bytes`, which must be `packedColumnsBytes` long and aligned to 8. */
export function viewPackedColumns(bytes: Uint8Array, counts: InodeTableCounts): PackedColumns {
  return viewColumns(columns, (extent: Extent) => lengthOf(extent, counts), bytes.buffer, bytes.byteOffset);
}

function lengthOf(extent: Extent, counts: InodeTableCounts): number {
  switch (extent) {
    case 'inode':
      return counts.inodeCount;
    case 'dirent':
      return counts.direntCount;
    case 'xattr':
      return counts.xattrCount;
    case 'chunk':
      return counts.chunkCount;
    case 'member':
      return counts.memberCount;
    case 'pool':
      return counts.poolSizeBytes;
  }
}

export function refusePacked(problem: string, cause?: unknown): FormatError {
  return new FormatError('packed-toc', `the packed TOC cannot be used: ${problem}`, { cause });
}
