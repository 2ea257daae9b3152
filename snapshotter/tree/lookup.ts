import type { InodeTable } from './inode-table.ts';

/**
 * Look-ups for the FUSE worker. Names are bytes [start, end) of the request. Only pathOf and findPath allocate.
 */

export const ROOT_INODE = 1;

/** File types in st_mode (inode(7)). */
export const typeBits = {
  dir: 0o040000,
  reg: 0o100000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
} as const;
const typeMask = 0o170000;

export function isDirectory(table: InodeTable, inode: number): boolean {
  return (table.mode[inode]! & typeMask) === typeBits.dir;
}

export function isRegular(table: InodeTable, inode: number): boolean {
  return (table.mode[inode]! & typeMask) === typeBits.reg;
}

export function isSymlink(table: InodeTable, inode: number): boolean {
  return (table.mode[inode]! & typeMask) === typeBits.symlink;
}

/** The inode of `name` in a directory; 0 if absent, or if `directory` is not a directory. */
export function findChild(
  table: InodeTable,
  directory: number,
  name: Uint8Array,
  start = 0,
  end = name.length,
): number {
  const row = findDirent(table, directory, name, start, end);
  return row < 0 ? 0 : table.direntInode[row]!;
}

/** The dirent row of `name`, -1 if absent. Binary search: dirents are in byte order. */
export function findDirent(
  table: InodeTable,
  directory: number,
  name: Uint8Array,
  start = 0,
  end = name.length,
): number {
  const { direntNameOffset, direntNameLength, pool } = table;
  let low = table.firstDirent[directory]!;
  let high = low + table.direntLength[directory]! - 1;
  const length = end - start;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const offset = direntNameOffset[middle]!;
    const otherLength = direntNameLength[middle]!;
    const common = Math.min(length, otherLength);
    let at = 0;
    while (at < common && name[start + at] === pool[offset + at]) at++;
    const order = at < common ? name[start + at]! - pool[offset + at]! : length - otherLength;
    if (order === 0) return middle;
    if (order < 0) high = middle - 1;
    else low = middle + 1;
  }
  return -1;
}

/** The row of an inode's extended attribute, -1 if absent. */
export function findXattr(table: InodeTable, inode: number, name: Uint8Array, start = 0, end = name.length): number {
  const { xattrNameOffset, xattrNameLength, pool } = table;
  const first = table.firstXattr[inode]!;
  const last = first + table.xattrLength[inode]!;
  const length = end - start;
  for (let row = first; row < last; row++) {
    if (xattrNameLength[row] !== length) continue;
    const offset = xattrNameOffset[row]!;
    let at = 0;
    while (at < length && name[start + at] === pool[offset + at]) at++;
    if (at === length) return row;
  }
  return -1;
}

/** Size of the list of listxattr(2): NUL-terminated names. */
export function xattrListSizeBytes(table: InodeTable, inode: number): number {
  const first = table.firstXattr[inode]!;
  const last = first + table.xattrLength[inode]!;
  let sizeBytes = 0;
  for (let row = first; row < last; row++) sizeBytes += table.xattrNameLength[row]! + 1;
  return sizeBytes;
}

/** Writes that list at `offset` and returns its end. */
export function writeXattrList(table: InodeTable, inode: number, out: Uint8Array, offset: number): number {
  const first = table.firstXattr[inode]!;
  const last = first + table.xattrLength[inode]!;
  let end = offset;
  for (let row = first; row < last; row++) {
    end = copyFromPool(table, table.xattrNameOffset[row]!, table.xattrNameLength[row]!, out, end);
    out[end++] = 0;
  }
  return end;
}

/** Writes an attribute's value at `offset` and returns its end. */
export function writeXattrValue(table: InodeTable, row: number, out: Uint8Array, offset: number): number {
  return copyFromPool(table, table.xattrValueOffset[row]!, table.xattrValueLength[row]!, out, offset);
}

/** Writes a directory entry's name at `offset` and returns its end. */
export function writeDirentName(table: InodeTable, row: number, out: Uint8Array, offset: number): number {
  return copyFromPool(table, table.direntNameOffset[row]!, table.direntNameLength[row]!, out, offset);
}

/** Writes a symbolic link's target at `offset` and returns its end. */
export function writeLinkTarget(table: InodeTable, inode: number, out: Uint8Array, offset: number): number {
  return copyFromPool(table, table.targetOffset[inode]!, table.targetLength[inode]!, out, offset);
}

/** A loop is faster than subarray and set for short names, and allocates nothing. */
function copyFromPool(table: InodeTable, poolOffset: number, length: number, out: Uint8Array, offset: number): number {
  const { pool } = table;
  for (let at = 0; at < length; at++) out[offset + at] = pool[poolOffset + at]!;
  return offset + length;
}

/** A path of the inode, without a leading slash. For logs and access records. */
export function pathOf(table: InodeTable, inode: number): string {
  const names: string[] = [];
  for (let at = inode; at !== ROOT_INODE; at = table.parent[at]!) names.push(nameIn(table, table.parent[at]!, at));
  return names.reverse().join('/');
}

function nameIn(table: InodeTable, directory: number, inode: number): string {
  const first = table.firstDirent[directory]!;
  const last = first + table.direntLength[directory]!;
  for (let row = first; row < last; row++)
    if (table.direntInode[row] === inode) return direntName(table, row).toString('utf8');
  throw new RangeError(`inode ${inode} has no name in directory ${directory}`);
}

/** A view of the name in shared memory, which some decoders refuse. */
export function direntName(table: InodeTable, row: number): Buffer {
  const start = table.direntNameOffset[row]!;
  return Buffer.from(table.pool.subarray(start, start + table.direntNameLength[row]!));
}

/** The inode at a path, 0 if absent. Does not follow symbolic links. */
export function findPath(table: InodeTable, path: string): number {
  let inode = ROOT_INODE;
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    inode = findChild(table, inode, Buffer.from(name));
    if (inode === 0) return 0;
  }
  return inode;
}
