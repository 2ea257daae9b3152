import { DIGEST_BYTES } from '../registry/digest.ts';
import { type ColumnOf, columnsSizeBytes, viewColumns } from './column-layout.ts';

export interface InodeTableCounts {
  readonly inodeCount: number;
  readonly direntCount: number;
  readonly xattrCount: number;
  readonly chunkCount: number;
  readonly memberCount: number;
  readonly poolSizeBytes: number;
  /** Length of the layer's data file: the regular files in TOC order, each at a 4096-aligned offset. */
  readonly dataSizeBytes: number;
}

/**
 * A layer's tree as columns in one SharedArrayBuffer: built by the main thread, read by the FUSE worker, never changed
 * afterwards. About 100 bytes per entry, a fraction of a JavaScript object's.
 *
 * Inode numbers run from 1 (the root) to `inodeCount`; row 0 of the inode columns is unused. Hard links share an inode.
 * Whiteouts are character devices 0:0, opaque directories have their xattr, landmarks and the TOC are left out. Strings are
 * raw bytes in `pool`, since names need not be UTF-8.
 */
export interface InodeTable extends InodeTableCounts {
  /** Backs all columns; to be passed to a worker and viewed there. */
  readonly shared: SharedArrayBuffer;

  // One row per inode.
  /** st_mode, file type bits included. */
  readonly mode: Uint32Array;
  readonly uid: Uint32Array;
  readonly gid: Uint32Array;
  /** Device number in the 32-bit encoding of FUSE and EROFS. */
  readonly rdev: Uint32Array;
  readonly nlink: Uint32Array;
  readonly mtimeNsec: Uint32Array;
  /** Directories: the parent (the root is its own). Others: the directory of one of its names. */
  readonly parent: Uint32Array;
  /** Directories: rows [firstDirent, firstDirent + direntLength) of the dirent columns, names in byte order. */
  readonly firstDirent: Uint32Array;
  readonly direntLength: Uint32Array;
  /** Regular files: rows of the chunk columns. */
  readonly firstChunk: Uint32Array;
  readonly chunkLength: Uint32Array;
  readonly firstXattr: Uint32Array;
  readonly xattrLength: Uint32Array;
  /** Symbolic links: the target in the pool. */
  readonly targetOffset: Uint32Array;
  readonly targetLength: Uint32Array;
  readonly sizeBytes: Float64Array;
  readonly mtimeSec: Float64Array;
  /** Regular files with content: offset of byte 0 in the data file. */
  readonly dataOffset: Float64Array;

  // One row per directory entry.
  readonly direntInode: Uint32Array;
  readonly direntNameOffset: Uint32Array;
  readonly direntNameLength: Uint32Array;

  // One row per extended attribute; names in full ("user.mime_type").
  readonly xattrNameOffset: Uint32Array;
  readonly xattrNameLength: Uint32Array;
  readonly xattrValueOffset: Uint32Array;
  readonly xattrValueLength: Uint32Array;

  // One row per chunk, in ascending data offset; a bit of the presence bitmap each.
  readonly chunkDataOffset: Float64Array;
  readonly chunkSizeBytes: Float64Array;
  readonly chunkInode: Uint32Array;
  /** The compressed member that holds the chunk, and where in the inflated member it starts. */
  readonly chunkMember: Uint32Array;
  readonly chunkInnerOffset: Float64Array;
  /** 1 if `chunkDigest` has a digest to verify against. */
  readonly chunkHasDigest: Uint8Array;
  /** DIGEST_BYTES per chunk. */
  readonly chunkDigest: Uint8Array;

  // One row per member, in ascending blob offset: bytes [memberOffset, memberEnd) of the blob.
  readonly memberOffset: Float64Array;
  readonly memberEnd: Float64Array;

  readonly pool: Uint8Array;
}

type Extent = 'inode' | 'dirent' | 'xattr' | 'chunk' | 'member' | 'pool' | 'digest';

const columns = [
  ['sizeBytes', Float64Array, 'inode'],
  ['mtimeSec', Float64Array, 'inode'],
  ['dataOffset', Float64Array, 'inode'],
  ['chunkDataOffset', Float64Array, 'chunk'],
  ['chunkSizeBytes', Float64Array, 'chunk'],
  ['chunkInnerOffset', Float64Array, 'chunk'],
  ['memberOffset', Float64Array, 'member'],
  ['memberEnd', Float64Array, 'member'],
  ['mode', Uint32Array, 'inode'],
  ['uid', Uint32Array, 'inode'],
  ['gid', Uint32Array, 'inode'],
  ['rdev', Uint32Array, 'inode'],
  ['nlink', Uint32Array, 'inode'],
  ['mtimeNsec', Uint32Array, 'inode'],
  ['parent', Uint32Array, 'inode'],
  ['firstDirent', Uint32Array, 'inode'],
  ['direntLength', Uint32Array, 'inode'],
  ['firstChunk', Uint32Array, 'inode'],
  ['chunkLength', Uint32Array, 'inode'],
  ['firstXattr', Uint32Array, 'inode'],
  ['xattrLength', Uint32Array, 'inode'],
  ['targetOffset', Uint32Array, 'inode'],
  ['targetLength', Uint32Array, 'inode'],
  ['direntInode', Uint32Array, 'dirent'],
  ['direntNameOffset', Uint32Array, 'dirent'],
  ['direntNameLength', Uint32Array, 'dirent'],
  ['xattrNameOffset', Uint32Array, 'xattr'],
  ['xattrNameLength', Uint32Array, 'xattr'],
  ['xattrValueOffset', Uint32Array, 'xattr'],
  ['xattrValueLength', Uint32Array, 'xattr'],
  ['chunkInode', Uint32Array, 'chunk'],
  ['chunkMember', Uint32Array, 'chunk'],
  ['chunkHasDigest', Uint8Array, 'chunk'],
  ['chunkDigest', Uint8Array, 'digest'],
  ['pool', Uint8Array, 'pool'],
] as const satisfies readonly ColumnOf<Extent>[];

/** Header of the buffer, 8 bytes each. */
const counted = [
  'inodeCount',
  'direntCount',
  'xattrCount',
  'chunkCount',
  'memberCount',
  'poolSizeBytes',
  'dataSizeBytes',
] as const satisfies readonly (keyof InodeTableCounts)[];
const headerBytes = counted.length * 8;

/** Allocates zeroed columns. */
export function allocateInodeTable(counts: InodeTableCounts): InodeTable {
  const shared = new SharedArrayBuffer(inodeTableSizeBytes(counts));
  new Float64Array(shared, 0, counted.length).set(counted.map((name) => counts[name]));
  return viewInodeTable(shared);
}

/** Memory of a table with these counts. */
export function inodeTableSizeBytes(counts: InodeTableCounts): number {
  return headerBytes + columnsSizeBytes<Extent>(columns, (extent) => extentLength(extent, counts));
}

/** Views the buffer of a table, in this thread or another. */
export function viewInodeTable(shared: SharedArrayBuffer): InodeTable {
  const header = new Float64Array(shared, 0, counted.length);
  const counts = Object.fromEntries(counted.map((name, at) => [name, header[at]])) as unknown as InodeTableCounts;
  const lengthOf = (extent: Extent): number => extentLength(extent, counts);
  return { shared, ...counts, ...viewColumns(columns, lengthOf, shared, headerBytes) };
}

function extentLength(extent: Extent, counts: InodeTableCounts): number {
  switch (extent) {
    case 'inode':
      return counts.inodeCount + 1;
    case 'dirent':
      return counts.direntCount;
    case 'xattr':
      return counts.xattrCount;
    case 'chunk':
      return counts.chunkCount;
    case 'member':
      return counts.memberCount;
    case 'digest':
      return counts.chunkCount * DIGEST_BYTES;
    case 'pool':
      return counts.poolSizeBytes;
  }
}

/** The sha256 of a chunk, where `chunkHasDigest` is 1. */
export function chunkDigestOf(table: InodeTable, chunk: number): Uint8Array {
  return table.chunkDigest.subarray(chunk * DIGEST_BYTES, (chunk + 1) * DIGEST_BYTES);
}
