import { writeSync } from 'node:fs';
import type { InodeTable } from '../tree/inode-table.ts';
import { isDirectory, isSymlink, ROOT_INODE, writeLinkTarget } from '../tree/lookup.ts';
import { type Steps, takeAtOnce } from '../tree/steps.ts';
import { encodeDirectory } from './directory.ts';
import {
  alignUp,
  BLOCK_BYTES,
  CHUNK_INDEX_BYTES,
  encodeChunkIndex,
  encodeFirstBlock,
  encodeInode,
  INODE_BYTES,
  type Layout,
  layouts,
  oneChunkFormat,
  SLOT_BYTES,
} from './ondisk.ts';
import { type Placement, placeInodes } from './placement.ts';
import { planXattrs, type XattrPlan } from './xattrs.ts';

export interface ErofsImageOptions {
  /** 16 bytes, unique to the layer: overlayfs identifies its lower layers by them. */
  readonly uuid?: Uint8Array;
}

const pieceBytes = 256 << 10;
const emptyUuid = new Uint8Array(16);

/**
 * Writes the EROFS image of a tree, metadata only, to a file opened for writing. Regular files map to the layer's data
 * file of `table.dataSizeBytes`, given to mount(2) as `device=`; with one chunk per file, since content is contiguous
 * there. Returns the image's length. Takes linear time, and some 20 bytes of memory per inode.
 */
export function writeErofsImage(table: InodeTable, fd: number, options: ErofsImageOptions = {}): number {
  return takeAtOnce(writeInSteps(table, fd, options));
}

/** The same in steps. */
export function* writeInSteps(table: InodeTable, fd: number, options: ErofsImageOptions = {}): Steps<number> {
  let position = 0;
  for (const piece of encodeErofsImage(table, options)) {
    for (let done = 0; done < piece.length; ) done += writeSync(fd, piece, done, piece.length - done, position + done);
    position += piece.length;
    yield;
  }
  return position;
}

/** The image from front to back. The next piece overwrites the one before. */
export function* encodeErofsImage(table: InodeTable, options: ErofsImageOptions = {}): Generator<Buffer> {
  const xattrs = planXattrs(table);
  const placement = placeInodes(table, xattrs);
  yield encodeFirstBlock({
    rootNid: placement.nid[ROOT_INODE]!,
    inodeCount: table.inodeCount,
    blockCount: placement.blockCount,
    metaBlock: placement.metaBlock,
    xattrBlock: placement.xattrBlock,
    uuid: options.uuid ?? emptyUuid,
    deviceBlocks: table.dataSizeBytes / BLOCK_BYTES,
  });
  if (xattrs.shared.length > 0) yield padded(xattrs.shared);
  yield* encodeInodes(table, xattrs, placement);
  yield* encodeOwnBlocks(table, placement);
}

function padded(bytes: Buffer): Buffer {
  const out = Buffer.alloc(alignUp(bytes.length, BLOCK_BYTES));
  bytes.copy(out);
  return out;
}

function* encodeInodes(table: InodeTable, xattrs: XattrPlan, placement: Placement): Generator<Buffer> {
  const { nid } = placement;
  let piece = Buffer.alloc(Math.min(pieceBytes, alignUp(placement.metaBytes, BLOCK_BYTES)));
  let pieceStart = 0;
  for (let inode = 1; inode <= table.inodeCount; inode++) {
    const start = nid[inode]! * SLOT_BYTES;
    const isLast = inode === table.inodeCount;
    const end = isLast ? alignUp(placement.metaBytes, BLOCK_BYTES) : nid[inode + 1]! * SLOT_BYTES;
    if (end - pieceStart > piece.length) {
      yield piece.subarray(0, start - pieceStart);
      pieceStart = start;
      // An inode with large extended attributes may exceed a piece.
      if (end - start > piece.length) piece = Buffer.alloc(end - start);
      else piece.fill(0);
    }
    encodeOne(table, xattrs, placement, inode, piece, start - pieceStart);
    if (isLast) yield piece.subarray(0, end - pieceStart);
  }
}

function encodeOne(
  table: InodeTable,
  xattrs: XattrPlan,
  placement: Placement,
  inode: number,
  out: Buffer,
  at: number,
): void {
  const xattrBytes = placement.xattrBytes[inode]!;
  const layout = placement.layout[inode] as Layout;
  encodeInode(out, at, {
    layout,
    xattrBytes,
    mode: table.mode[inode]!,
    sizeBytes: contentSize(table, placement, inode),
    union: unionOf(table, placement, inode, layout),
    inode,
    uid: table.uid[inode]!,
    gid: table.gid[inode]!,
    mtimeSec: table.mtimeSec[inode]!,
    mtimeNsec: table.mtimeNsec[inode]!,
    nlink: table.nlink[inode]!,
  });
  if (xattrBytes > 0) xattrs.encode(inode, out, at + INODE_BYTES);
  const behind = at + INODE_BYTES + xattrBytes;
  if (layout === layouts.chunkBased) {
    encodeChunkIndex(out, alignUp(behind, CHUNK_INDEX_BYTES), table.dataOffset[inode]! / BLOCK_BYTES);
  } else if (placement.inlineBytes[inode]! > 0) {
    if (isSymlink(table, inode)) writeLinkTarget(table, inode, out, behind);
    else encodedDirectory(table, placement, inode).copy(out, behind, placement.ownBlocks[inode]! * BLOCK_BYTES);
  }
}

/** For directories the size of their entries, not the table's nominal one. */
function contentSize(table: InodeTable, placement: Placement, inode: number): number {
  if (!isDirectory(table, inode)) return table.sizeBytes[inode]!;
  return placement.ownBlocks[inode]! * BLOCK_BYTES + placement.inlineBytes[inode]!;
}

function unionOf(table: InodeTable, placement: Placement, inode: number, layout: Layout): number {
  if (layout === layouts.chunkBased) return oneChunkFormat(table.sizeBytes[inode]!);
  return placement.ownBlocks[inode]! > 0 ? placement.firstBlock[inode]! : table.rdev[inode]!;
}

function* encodeOwnBlocks(table: InodeTable, placement: Placement): Generator<Buffer> {
  for (let inode = 1; inode <= table.inodeCount; inode++) {
    const ownBytes = placement.ownBlocks[inode]! * BLOCK_BYTES;
    if (ownBytes === 0) continue;
    if (isSymlink(table, inode)) {
      const block = Buffer.alloc(ownBytes);
      writeLinkTarget(table, inode, block, 0);
      yield block;
    } else yield encodedDirectory(table, placement, inode).subarray(0, ownBytes);
  }
}

function encodedDirectory(table: InodeTable, placement: Placement, inode: number): Buffer {
  const out = Buffer.alloc(placement.ownBlocks[inode]! * BLOCK_BYTES + placement.inlineBytes[inode]!);
  encodeDirectory(table, inode, (child) => placement.nid[child]!, out);
  return out;
}
