import { FormatError } from '../estargz/error.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { isDirectory, isRegular, isSymlink } from '../tree/lookup.ts';
import { measureDirectory } from './directory.ts';
import { alignUp, BLOCK_BYTES, CHUNK_INDEX_BYTES, INODE_BYTES, type Layout, layouts, SLOT_BYTES } from './ondisk.ts';
import type { XattrPlan } from './xattrs.ts';

/** Decides all positions before the first byte is written, so that writing is one pass from front to back. */
export interface Placement {
  /** By inode: its position in units of 32 bytes from the start of the metadata area, which is its nid. */
  readonly nid: Uint32Array;
  readonly layout: Uint8Array;
  readonly xattrBytes: Uint32Array;
  /** Directories and long symbolic links: blocks of their own, from `firstBlock` of the image. */
  readonly firstBlock: Uint32Array;
  readonly ownBlocks: Uint32Array;
  /** Directories and symbolic links: bytes behind the inode. */
  readonly inlineBytes: Uint16Array;
  readonly xattrBlock: number;
  readonly metaBlock: number;
  /** End of the metadata area, in bytes from its start. */
  readonly metaBytes: number;
  readonly blockCount: number;
}

/**
 * Inodes in the order of the table, the root first, whose nid has only 16 bits in the superblock. It is not 0: a nid is
 * also the st_ino, and readdir(3) skips entries of inode 0, which would be `.` of the root and `..` in each directory
 * below it.
 */
export function placeInodes(table: InodeTable, xattrs: XattrPlan): Placement {
  const rows = table.inodeCount + 1;
  const placement = {
    nid: new Uint32Array(rows),
    layout: new Uint8Array(rows),
    xattrBytes: new Uint32Array(rows),
    firstBlock: new Uint32Array(rows),
    ownBlocks: new Uint32Array(rows),
    inlineBytes: new Uint16Array(rows),
  };
  let at = SLOT_BYTES;
  for (let inode = 1; inode <= table.inodeCount; inode++) {
    const xattrBytes = xattrs.bytesOf(inode);
    placement.xattrBytes[inode] = xattrBytes;
    const headBytes = INODE_BYTES + xattrBytes;
    at = alignUp(at, SLOT_BYTES);
    if (isDirectory(table, inode) || isSymlink(table, inode)) {
      const content = measureContent(table, inode);
      const isInline = canBeInline(headBytes, content.tailBytes);
      placement.layout[inode] = isInline ? layouts.flatInline : layouts.flatPlain;
      placement.inlineBytes[inode] = isInline ? content.tailBytes : 0;
      placement.ownBlocks[inode] = content.fullBlocks + (isInline ? 0 : 1);
      at = fit(at, headBytes, placement.inlineBytes[inode]!);
      placement.nid[inode] = nidAt(at);
      at += headBytes + placement.inlineBytes[inode]!;
    } else {
      const hasContent = isRegular(table, inode) && table.sizeBytes[inode]! > 0;
      placement.layout[inode] = (hasContent ? layouts.chunkBased : layouts.flatPlain) satisfies Layout;
      at = fit(at, headBytes, 0);
      placement.nid[inode] = nidAt(at);
      at += hasContent ? alignUp(headBytes, CHUNK_INDEX_BYTES) + CHUNK_INDEX_BYTES : headBytes;
    }
  }
  // The first block belongs to the superblock.
  const xattrBlock = 1;
  const metaBlock = xattrBlock + Math.ceil(xattrs.shared.length / BLOCK_BYTES);
  let block = metaBlock + Math.ceil(at / BLOCK_BYTES);
  for (let inode = 1; inode <= table.inodeCount; inode++) {
    if (placement.ownBlocks[inode] === 0) continue;
    placement.firstBlock[inode] = block;
    block += placement.ownBlocks[inode]!;
  }
  if (block > 0xffffffff) throw new FormatError('limit', `an EROFS image of ${block} blocks`);
  return { ...placement, xattrBlock, metaBlock, metaBytes: at, blockCount: block };
}

function measureContent(table: InodeTable, inode: number): { readonly fullBlocks: number; readonly tailBytes: number } {
  return isSymlink(table, inode)
    ? { fullBlocks: 0, tailBytes: table.targetLength[inode]! }
    : measureDirectory(table, inode);
}

/** An inline tail must not cross a block boundary. */
function canBeInline(headBytes: number, tailBytes: number): boolean {
  return (headBytes % BLOCK_BYTES) + tailBytes <= BLOCK_BYTES && headBytes + tailBytes <= BLOCK_BYTES;
}

/** The next position at which neither the inode nor its inline tail crosses a block boundary. */
function fit(at: number, headBytes: number, inlineBytes: number): number {
  const room = BLOCK_BYTES - (at % BLOCK_BYTES);
  const needed = inlineBytes > 0 ? headBytes + inlineBytes : INODE_BYTES;
  return needed > room ? alignUp(at, BLOCK_BYTES) : at;
}

function nidAt(at: number): number {
  const nid = at / SLOT_BYTES;
  if (nid > 0xffffffff) throw new FormatError('limit', 'an EROFS image of more metadata than 128 GiB');
  return nid;
}
