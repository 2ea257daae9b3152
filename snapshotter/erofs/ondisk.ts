import { crc32c } from './crc32c.ts';

/**
 * EROFS on disk (Linux fs/erofs/erofs_fs.h; Documentation/filesystems/erofs.rst), all little-endian:
 *
 *     1024  superblock, 128 bytes
 *     1152  device table, 128 bytes a slot: tag[64], blocks, mapped_blkaddr
 *           shared extended attributes, from xattr_blkaddr
 *           inodes of 64 bytes at any multiple of 32, from meta_blkaddr; a nid is such a multiple. Behind an inode its own
 *           extended attributes, then (8-aligned) its chunk index, or the inline tail of a directory or symbolic link
 *           blocks of directories and long symbolic links
 */
export const BLOCK_BITS = 12;
export const BLOCK_BYTES = 1 << BLOCK_BITS;
export const INODE_BYTES = 64;
export const SLOT_BYTES = 32;
export const CHUNK_INDEX_BYTES = 8;
export const DIRENT_BYTES = 12;
export const XATTR_HEADER_BYTES = 12;
export const XATTR_ENTRY_BYTES = 4;

export const layouts = { flatPlain: 0, flatInline: 2, chunkBased: 4 } as const;
export type Layout = (typeof layouts)[keyof typeof layouts];

const superMagic = 0xe0f5e1e2;
const superOffset = 1024;
const deviceSlotBytes = 128;
const deviceSlotIndex = (superOffset + 128) / deviceSlotBytes;
const featureCompatChecksum = 0x1;
const featureCompatMtime = 0x2;
const featureIncompatChunkedFile = 0x4;
const featureIncompatDeviceTable = 0x8;
const chunkFormatIndexes = 0x20;

export interface Superblock {
  readonly rootNid: number;
  readonly inodeCount: number;
  readonly blockCount: number;
  readonly metaBlock: number;
  readonly xattrBlock: number;
  /** 16 bytes, by which overlayfs identifies a lower layer. */
  readonly uuid: Uint8Array;
  /** Blocks of the extra device; if 0, mount(2) must not be given a `device=`. */
  readonly deviceBlocks: number;
}

/** The first block of the image: superblock with its checksum, device table. */
export function encodeFirstBlock(fields: Superblock): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const at = superOffset;
  block.writeUInt32LE(superMagic, at);
  block.writeUInt32LE(featureCompatChecksum | featureCompatMtime, at + 8);
  block.writeUInt8(BLOCK_BITS, at + 12);
  block.writeUInt16LE(fields.rootNid, at + 14);
  block.writeBigUInt64LE(BigInt(fields.inodeCount), at + 16);
  block.writeUInt32LE(fields.blockCount, at + 36);
  block.writeUInt32LE(fields.metaBlock, at + 40);
  block.writeUInt32LE(fields.xattrBlock, at + 44);
  block.set(fields.uuid, at + 48);
  if (fields.deviceBlocks > 0) {
    block.writeUInt32LE(featureIncompatChunkedFile | featureIncompatDeviceTable, at + 80);
    block.writeUInt16LE(1, at + 86);
    block.writeUInt16LE(deviceSlotIndex, at + 88);
    block.writeUInt32LE(fields.deviceBlocks, deviceSlotIndex * deviceSlotBytes + 64);
  }
  block.writeUInt32LE(crc32c(0xffffffff, block.subarray(superOffset)), at + 4);
  return block;
}

export interface InodeFields {
  readonly layout: Layout;
  readonly xattrBytes: number;
  readonly mode: number;
  readonly sizeBytes: number;
  /** Flat: first block. Chunk-based: chunk format. Devices: device number. */
  readonly union: number;
  readonly inode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly nlink: number;
}

export function encodeInode(out: Buffer, at: number, fields: InodeFields): void {
  // Bit 0: the extended form.
  out.writeUInt16LE(1 | (fields.layout << 1), at);
  out.writeUInt16LE(fields.xattrBytes === 0 ? 0 : (fields.xattrBytes - XATTR_HEADER_BYTES) / 4 + 1, at + 2);
  out.writeUInt16LE(fields.mode, at + 4);
  writeWide(out, fields.sizeBytes, at + 8);
  out.writeUInt32LE(fields.union, at + 16);
  out.writeUInt32LE(fields.inode, at + 20);
  out.writeUInt32LE(fields.uid, at + 24);
  out.writeUInt32LE(fields.gid, at + 28);
  writeWide(out, fields.mtimeSec, at + 32);
  out.writeUInt32LE(fields.mtimeNsec, at + 40);
  out.writeUInt32LE(fields.nlink, at + 44);
}

/** 64 bits, two's complement, without a BigInt per inode. */
function writeWide(out: Buffer, value: number, at: number): void {
  const high = Math.floor(value / 2 ** 32);
  out.writeUInt32LE(value - high * 2 ** 32, at);
  out.writeInt32LE(high | 0, at + 4);
}

/** Chunk format for one chunk that covers the file: log2 of its blocks, and indexes rather than block numbers. */
export function oneChunkFormat(sizeBytes: number): number {
  const blocks = Math.ceil(sizeBytes / BLOCK_BYTES);
  return chunkFormatIndexes | (blocks <= 1 ? 0 : Math.ceil(Math.log2(blocks)));
}

/** A chunk that starts at this block of the extra device. */
export function encodeChunkIndex(out: Buffer, at: number, deviceBlock: number): void {
  out.writeUInt16LE(0, at);
  out.writeUInt16LE(1, at + 2);
  out.writeUInt32LE(deviceBlock, at + 4);
}

/** Directory entry type by the type bits of st_mode, shifted down: fifo, char, dir, block, reg, symlink, socket. */
const direntTypes: { readonly [type: number]: number } = { 1: 5, 2: 3, 4: 2, 6: 4, 8: 1, 10: 7, 12: 6 };

export function direntType(mode: number): number {
  return direntTypes[mode >>> 12]!;
}

/** `nameOffset` counts from the start of the block. */
export function encodeDirent(out: Buffer, at: number, nid: number, nameOffset: number, type: number): void {
  writeWide(out, nid, at);
  out.writeUInt16LE(nameOffset, at + 8);
  out.writeUInt8(type, at + 10);
}

export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
