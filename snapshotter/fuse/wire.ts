/**
 * The FUSE wire: requests and replies as the kernel lays them out (include/uapi/linux/fuse.h, protocol 7.23 to 7.45).
 * Every struct is padded to 64 bits. The wire is in host order, and every platform Node runs FUSE on is little-endian.
 *
 *     request: len u32 | opcode u32 | unique u64 | nodeid u64 | uid u32 | gid u32 | pid u32 | extlen u16 | pad u16 | body
 *     reply:   len u32 | error i32 (0 or minus an errno) | unique u64 | body
 *
 * 64-bit fields are read and written as two 32-bit words, so that no BigInt is made on the request path. nodeid is the
 * server's choice: slot of the layer in the high word, inode in the low one. The root is slot 0, inode 1
 * (FUSE_ROOT_ID).
 */

export const requestHeaderBytes = 40;
export const replyHeaderBytes = 16;

/** Offsets in a request. */
export const request = {
  length: 0,
  opcode: 4,
  unique: 8,
  nodeInode: 16,
  nodeSlot: 20,
  pid: 32,
  body: requestHeaderBytes,
} as const;

/** Offsets in a reply. */
export const reply = { length: 0, error: 4, unique: 8, body: replyHeaderBytes } as const;

/** fuse_read_in: fh u64, offset u64, size u32, flags, lock owner; READDIR and READDIRPLUS use it too. */
export const readIn = { offset: requestHeaderBytes + 8, size: requestHeaderBytes + 16, end: requestHeaderBytes + 20 };

/** fuse_getxattr_in: size u32, padding u32, then the name; LISTXATTR has no name. */
export const xattrIn = { size: requestHeaderBytes, end: requestHeaderBytes + 8 };

/** fuse_interrupt_in: unique u64 of the interrupted request. */
export const interruptIn = { unique: requestHeaderBytes, end: requestHeaderBytes + 8 };

/** fuse_kstatfs: blocks, bfree, bavail, files, ffree u64; bsize, namelen, frsize u32; padding. */
export const statfsOut = {
  blocks: replyHeaderBytes,
  files: replyHeaderBytes + 24,
  blockSize: replyHeaderBytes + 40,
  nameLength: replyHeaderBytes + 44,
  fragmentSize: replyHeaderBytes + 48,
  end: replyHeaderBytes + 80,
};

export const opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  IOCTL: 39,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  TMPFILE: 51,
  COPY_FILE_RANGE_64: 53,
} as const;

/** Errnos that go out on the wire (asm-generic; the same on x86-64, arm64 and riscv64). */
export const errno = {
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  ENODEV: 19,
  ENOTDIR: 20,
  EINVAL: 22,
  ENOTTY: 25,
  EROFS: 30,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENODATA: 61,
  EPROTO: 71,
  ESTALE: 116,
} as const;

export const rootSlot = 0;

const two32 = 2 ** 32;

/** Two's complement below zero: times before 1970 are negative. */
export function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / two32) >>> 0, true);
}

/** Exact up to 2^53; no file offset is larger. */
export function getUint64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * two32 + view.getUint32(at, true);
}

/** Writes the header of a reply to the request whose `unique` words these are; returns `sizeBytes`. */
export function encodeReplyHeader(view: DataView, sizeBytes: number, error: number, low: number, high: number): number {
  view.setUint32(reply.length, sizeBytes, true);
  view.setInt32(reply.error, -error, true);
  view.setUint32(reply.unique, low, true);
  view.setUint32(reply.unique + 4, high, true);
  return sizeBytes;
}
