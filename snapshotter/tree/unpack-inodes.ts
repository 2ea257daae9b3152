import { directorySizeBytes } from './build.ts';
import type { InodeTable } from './inode-table.ts';
import { kinds } from './kinds.ts';
import { isDirectory, ROOT_INODE, typeBits } from './lookup.ts';
import { NAME_LIMIT_BYTES, PATH_LIMIT_BYTES } from './name-tree.ts';
import { isWhole, latestSec } from './object-columns.ts';
import { inodeColumns, type PackedColumns, refusePacked } from './packed-columns.ts';
import { settledAcl } from './posix-acl.ts';
import { accessAcl, FILE_LIMIT, isSet, VALUE_LIMIT_BYTES } from './xattr-columns.ts';

const typeMask = 0o170000;
const permissionMask = 0o7777;
const billion = 1_000_000_000;
const slash = 0x2f;
const dot = 0x2e;

/** Fills the inodes' own columns, and where their dirents and attributes start. */
export function unpackInodes(table: InodeTable, columns: PackedColumns, hasMarks: boolean): void {
  for (const name of inodeColumns) table[name].set(columns[name], 1);
  let dirent = 0;
  let xattr = 0;
  for (let inode = 1; inode <= table.inodeCount; inode++) {
    checkAttributes(table, inode, hasMarks);
    table.sizeBytes[inode] = sizeOf(table, columns, inode);
    const { direntLength, xattrLength } = table;
    if (direntLength[inode]! > 0) table.firstDirent[inode] = dirent;
    table.firstXattr[inode] = xattr;
    dirent += direntLength[inode]!;
    xattr += xattrLength[inode]!;
  }
  if (!isDirectory(table, ROOT_INODE)) throw refusePacked('its root is no directory');
  if (dirent !== table.direntCount || xattr !== table.xattrCount) throw refusePacked('its counts do not add up');
}

function checkAttributes(table: InodeTable, inode: number, hasMarks: boolean): void {
  const mode = table.mode[inode]!;
  const type = mode & typeMask;
  const isDevice = type === typeBits.char || type === typeBits.block;
  const isGood =
    // Also of more than 16 bits.
    (mode & ~typeMask & ~permissionMask) === 0 &&
    table.uid[inode] !== 0xffffffff &&
    table.gid[inode] !== 0xffffffff &&
    table.mtimeNsec[inode]! < billion &&
    Number.isInteger(table.mtimeSec[inode]) &&
    isWhole(table.mtimeSec[inode]!, latestSec) &&
    (isDevice || table.rdev[inode] === 0) &&
    (type !== typeBits.char || table.rdev[inode] !== 0 || (hasMarks && isWhiteout(table, inode))) &&
    (type === typeBits.dir || table.direntLength[inode] === 0) &&
    (type === typeBits.symlink || table.targetLength[inode] === 0) &&
    table.xattrLength[inode]! <= FILE_LIMIT;
  if (!isGood) throw refusePacked(`inode ${inode} has an impossible attribute`);
}

function isWhiteout({ mode, xattrLength }: InodeTable, inode: number): boolean {
  return mode[inode] === typeBits.char && xattrLength[inode] === 0;
}

function sizeOf(table: InodeTable, columns: PackedColumns, inode: number): number {
  const fileSize = columns.fileSize[inode - 1]!;
  const mode = table.mode[inode]!;
  const type = mode & typeMask;
  if (type === typeBits.reg) {
    if (!Number.isSafeInteger(fileSize) || fileSize < 0) throw refusePacked(`inode ${inode} has a size of ${fileSize}`);
    return fileSize;
  }
  if (fileSize !== 0) throw refusePacked(`inode ${inode} has a size, and is no regular file`);
  switch (type) {
    case typeBits.dir:
      return directorySizeBytes;
    case typeBits.symlink: {
      const length = table.targetLength[inode]!;
      if (length === 0 || length > PATH_LIMIT_BYTES || (mode & permissionMask) !== 0o777)
        throw refusePacked(`inode ${inode} is an impossible symbolic link`);
      return length;
    }
    case typeBits.char:
    case typeBits.block:
    case typeBits.fifo:
      return 0;
    default:
      throw refusePacked(`inode ${inode} has an unknown type`);
  }
}

/** Fills directories, parents and link counts. Returns where the names end in the pool. */
export function unpackDirents(table: InodeTable, { direntInodeStep, direntNameLength }: PackedColumns): number {
  const { nlink, parent, pool, inodeCount } = table;
  nlink[ROOT_INODE] = 2;
  parent[ROOT_INODE] = ROOT_INODE;
  let row = 0;
  let nameAt = 0;
  let child = 0;
  for (let directory = 1; directory <= inodeCount; directory++) {
    const end = row + table.direntLength[directory]!;
    for (let before = -1; row < end; before = nameAt, nameAt += direntNameLength[row]!, row++) {
      const length = direntNameLength[row]!;
      child = (child + direntInodeStep[row]!) >>> 0;
      if (child < 2 || child > inodeCount) throw refusePacked(`directory ${directory} has an impossible inode`);
      if (nameAt + length > pool.length || !isName(pool, nameAt, length))
        throw refusePacked(`directory ${directory} has an impossible name`);
      if (before >= 0 && !isInOrder(pool, before, nameAt, nameAt + length))
        throw refusePacked(`directory ${directory} is not sorted`);
      table.direntInode[row] = child;
      table.direntNameOffset[row] = nameAt;
      table.direntNameLength[row] = length;
      linkChild(table, directory, child);
    }
  }
  const names = Buffer.from(pool.buffer, pool.byteOffset, nameAt);
  if (names.includes(slash) || names.includes(0)) throw refusePacked('a name has a slash or a NUL byte');
  for (let inode = 1; inode <= inodeCount; inode++)
    if (parent[inode] === 0) throw refusePacked(`inode ${inode} has no name`);
  return nameAt;
}

/** A directory comes behind its parent, so there are no cycles. */
function linkChild(table: InodeTable, directory: number, child: number): void {
  const { nlink, parent } = table;
  if (!isDirectory(table, child)) {
    if (parent[child] === 0) parent[child] = directory;
    nlink[child]!++;
    return;
  }
  if (parent[child] !== 0 || child <= directory) throw refusePacked(`directory ${child} is not below ${directory}`);
  parent[child] = directory;
  nlink[child] = nlink[child]! + 2;
  nlink[directory]!++;
}

function isName(pool: Uint8Array, at: number, length: number): boolean {
  if (length > 2) return true;
  return length > 0 && !(pool[at] === dot && (length === 1 || pool[at + 1] === dot));
}

/** Whether the name [first, second) precedes [second, end) in byte order. */
function isInOrder(pool: Uint8Array, first: number, second: number, end: number): boolean {
  const common = Math.min(second - first, end - second);
  let at = 0;
  while (at < common && pool[first + at] === pool[second + at]) at++;
  return at < common ? pool[first + at]! < pool[second + at]! : second - first < end - second;
}

/** Fills the targets of symbolic links, from `targetsAt` of the pool on, and extended attributes. */
export function unpackXattrs(
  table: InodeTable,
  { xattrNameLength, xattrValueLength }: PackedColumns,
  targetsAt: number,
  rules: MarkRules,
): void {
  const { pool, targetLength, targetOffset } = table;
  let at = targetsAt;
  for (let inode = 1; inode <= table.inodeCount; inode++) {
    if (targetLength[inode] === 0) continue;
    targetOffset[inode] = at;
    at += targetLength[inode]!;
  }
  const targets = Buffer.from(
    pool.buffer,
    pool.byteOffset + targetsAt,
    Math.max(0, Math.min(at, pool.length) - targetsAt),
  );
  if (at > pool.length || targets.includes(0)) throw refusePacked('an impossible target of a symbolic link');
  for (let row = 0; row < table.xattrCount; row++) {
    table.xattrNameOffset[row] = at;
    table.xattrNameLength[row] = xattrNameLength[row]!;
    at += xattrNameLength[row]!;
    table.xattrValueOffset[row] = at;
    table.xattrValueLength[row] = xattrValueLength[row]!;
    at += xattrValueLength[row]!;
  }
  if (at !== pool.length) throw refusePacked('its names do not add up');
  for (let inode = 1; inode <= table.inodeCount; inode++)
    if (table.xattrLength[inode]! > 0) checkXattrs(table, inode, rules);
}

interface MarkRules {
  readonly opaqueXattr: 'trusted' | 'user';
  readonly hasMarks: boolean;
}

const opaqueName = 'trusted.overlay.opaque';
const opaqueValue = Buffer.from('y');

function checkXattrs(table: InodeTable, inode: number, { opaqueXattr, hasMarks }: MarkRules): void {
  const { pool, mode } = table;
  const kind = kindOf(mode[inode]!);
  const names = new Set<string>();
  const first = table.firstXattr[inode]!;
  for (let row = first; row < first + table.xattrLength[inode]!; row++) {
    const nameAt = table.xattrNameOffset[row]!;
    const valueAt = table.xattrValueOffset[row]!;
    const name = Buffer.from(pool.slice(nameAt, nameAt + table.xattrNameLength[row]!)).toString('latin1');
    const value = pool.slice(valueAt, valueAt + table.xattrValueLength[row]!);
    const isMark = hasMarks && name === opaqueName && kind === kinds.dir && opaqueValue.equals(value);
    const isGood =
      !names.has(name) &&
      name.length <= NAME_LIMIT_BYTES &&
      !name.includes('\0') &&
      (isMark || isSet(name, kind, { opaqueXattr })) &&
      value.length <= VALUE_LIMIT_BYTES &&
      (name !== accessAcl || isSettled(value, mode[inode]!));
    if (!isGood) throw refusePacked(`inode ${inode} has an impossible extended attribute`);
    names.add(name);
  }
}

/** As far as it matters to extended attributes. */
function kindOf(mode: number): number {
  const type = mode & typeMask;
  if (type === typeBits.dir) return kinds.dir;
  if (type === typeBits.reg) return kinds.reg;
  return type === typeBits.symlink ? kinds.symlink : kinds.fifo;
}

function isSettled(acl: Uint8Array, mode: number): boolean {
  return acl.length > 0 && settledAcl(acl, mode & permissionMask)?.equals(acl) === true;
}
