import type { InodeTable } from '../tree/inode-table.ts';
import { ROOT_INODE } from '../tree/lookup.ts';
import { replyHeaderBytes, rootSlot, setUint64 } from './wire.ts';

/**
 *     fuse_attr, 88 bytes: ino size blocks atime mtime ctime u64 | atimensec mtimensec ctimensec mode nlink uid gid rdev
 *                          blksize flags u32
 *     fuse_attr_out, 104:  attr_valid u64 | attr_valid_nsec u32 | pad | fuse_attr
 *     fuse_entry_out, 128: nodeid generation entry_valid attr_valid u64 | entry_valid_nsec attr_valid_nsec u32 | fuse_attr
 */
const attrBytes = 88;
export const attrOutBytes = 16 + attrBytes;
export const entryOutBytes = 40 + attrBytes;

/** How long the kernel may cache an answer, in whole seconds. */
export interface Validity {
  readonly attrSec: number;
  /** Of names, negative entries included. */
  readonly entrySec: number;
}

/** Layers never change: about 34 years, far below the limit of the kernel's clock. */
export const forever: Validity = { attrSec: 2 ** 30, entrySec: 2 ** 30 };

const blockBytes = 512;
const preferredIoBytes = 4096;

/** The reply body of GETATTR, at `replyHeaderBytes`; returns the length of the whole reply. */
export function encodeAttrOut(
  view: DataView,
  table: InodeTable,
  slot: number,
  inode: number,
  validity: Validity,
): number {
  setUint64(view, replyHeaderBytes, validity.attrSec);
  setUint64(view, replyHeaderBytes + 8, 0);
  encodeAttr(view, replyHeaderBytes + 16, table, slot, inode);
  return replyHeaderBytes + attrOutBytes;
}

/** fuse_entry_out for an inode of a layer. */
export function encodeEntry(
  view: DataView,
  at: number,
  table: InodeTable,
  slot: number,
  inode: number,
  validity: Validity,
): void {
  encodeEntryHead(view, at, slot, inode, validity);
  encodeAttr(view, at + 40, table, slot, inode);
}

/** nodeid 0 with a validity: the kernel caches that the name does not exist. */
export function encodeNegativeEntry(view: DataView, at: number, validity: Validity): void {
  for (let offset = 0; offset < entryOutBytes; offset += 4) view.setUint32(at + offset, 0, true);
  setUint64(view, at + 16, validity.entrySec);
}

/** The root of the mount, which belongs to no layer and has a directory for each. */
export function encodeRootAttrOut(view: DataView, layerCount: number, validity: Validity): number {
  setUint64(view, replyHeaderBytes, validity.attrSec);
  setUint64(view, replyHeaderBytes + 8, 0);
  encodeRootAttr(view, replyHeaderBytes + 16, layerCount);
  return replyHeaderBytes + attrOutBytes;
}

export function encodeRootEntry(view: DataView, at: number, layerCount: number, validity: Validity): void {
  encodeEntryHead(view, at, rootSlot, ROOT_INODE, validity);
  encodeRootAttr(view, at + 40, layerCount);
}

function encodeEntryHead(view: DataView, at: number, slot: number, inode: number, validity: Validity): void {
  view.setUint32(at, inode, true);
  view.setUint32(at + 4, slot, true);
  setUint64(view, at + 8, 0);
  setUint64(view, at + 16, validity.entrySec);
  setUint64(view, at + 24, validity.attrSec);
  setUint64(view, at + 32, 0);
}

/**
 * st_ino is the whole nodeid. All layers share one st_dev, also through overlayfs, and ld.so, tar and du treat files
 * with equal (st_dev, st_ino) as one: with the inode alone, libraries of two layers could be taken for the same.
 */
function encodeAttr(view: DataView, at: number, table: InodeTable, slot: number, inode: number): void {
  const sizeBytes = table.sizeBytes[inode]!;
  const mtimeSec = table.mtimeSec[inode]!;
  const mtimeNsec = table.mtimeNsec[inode]!;
  view.setUint32(at, inode, true);
  view.setUint32(at + 4, slot, true);
  setUint64(view, at + 8, sizeBytes);
  setUint64(view, at + 16, Math.ceil(sizeBytes / blockBytes));
  setUint64(view, at + 24, mtimeSec);
  setUint64(view, at + 32, mtimeSec);
  setUint64(view, at + 40, mtimeSec);
  view.setUint32(at + 48, mtimeNsec, true);
  view.setUint32(at + 52, mtimeNsec, true);
  view.setUint32(at + 56, mtimeNsec, true);
  view.setUint32(at + 60, table.mode[inode]!, true);
  view.setUint32(at + 64, table.nlink[inode]!, true);
  view.setUint32(at + 68, table.uid[inode]!, true);
  view.setUint32(at + 72, table.gid[inode]!, true);
  view.setUint32(at + 76, table.rdev[inode]!, true);
  view.setUint32(at + 80, preferredIoBytes, true);
  view.setUint32(at + 84, 0, true);
}

function encodeRootAttr(view: DataView, at: number, layerCount: number): void {
  for (let offset = 0; offset < attrBytes; offset += 4) view.setUint32(at + offset, 0, true);
  view.setUint32(at, ROOT_INODE, true);
  view.setUint32(at + 60, 0o040755, true);
  view.setUint32(at + 64, 2 + layerCount, true);
  view.setUint32(at + 80, preferredIoBytes, true);
}
