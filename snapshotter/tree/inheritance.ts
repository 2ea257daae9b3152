import { FormatError } from '../estargz/error.ts';
import { type BuiltTree, NAMED_SINCE } from './build.ts';
import { allocateInodeTable, type InodeTable, inodeTableSizeBytes } from './inode-table.ts';
import { findChild, isDirectory, isSymlink, ROOT_INODE, writeLinkTarget } from './lookup.ts';
import type { MemoryAccount } from './memory.ts';
import { type LinkedTree, lookUp, type ResolutionWork, rootPath } from './root-path.ts';
import type { Steps } from './steps.ts';

/** What unpacking copies from a directory of a lower layer to an implied one. */
export interface DirectoryAttributes {
  /** Permission bits only. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  /** Names in Latin-1, values in base64: stored as JSON. */
  readonly xattrs: readonly (readonly [name: string, value: string])[];
}

/** The tree of a single lower layer, not merged with those below it. */
export interface LowerTree {
  /**
   * Resolves an absolute Latin-1 path, following symbolic links within the tree, to a directory's attributes, to `other` for
   * another file, or to undefined. Throws FormatError 'name' where unpacking fails.
   */
  directoryAt(path: string): DirectoryAttributes | 'other' | undefined;
}

export interface InheritedDirectory {
  readonly inode: number;
  /** Undefined for a directory with an entry, which inherits extended attributes only. */
  readonly attributes?: Omit<DirectoryAttributes, 'xattrs'>;
  readonly xattrs: DirectoryAttributes['xattrs'];
}

/** Far more than in any real layer; each is looked up in every lower layer. */
const impliedLimit = 1 << 16;
const stepDirectories = 64;
const typeMask = 0o170000;
const permissionMask = 0o7777;

/**
 * The attributes that implied directories inherit, as containerd's mkparent copies them: from the nearest layer that has the
 * path, provided it is a directory there. Omits directories that inherit nothing.
 */
export function* inheritInSteps(
  { table, implied, replaced }: Pick<BuiltTree, 'table' | 'implied' | 'replaced'>,
  lowers: readonly LowerTree[],
): Steps<InheritedDirectory[]> {
  if (implied.length > impliedLimit)
    throw new FormatError('limit', `${implied.length} directories without entries (limit ${impliedLimit})`);
  // For the errors only: unpacking has failed where these cannot be resolved.
  for (const path of replaced) findBelow(lowers, path);
  const inherited = new Map<number, InheritedDirectory>();
  /** What directories had when they were created, whatever their own entries made of it later. */
  const created = new Map<number, DirectoryAttributes>();
  const pathOf = pathFinder(table);
  let done = 0;
  for (const one of implied) {
    if (++done % stepDirectories === 0) yield;
    const isNamed = one >= NAMED_SINCE;
    const inode = isNamed ? one - NAMED_SINCE : one;
    const found = findBelow(lowers, pathOf(inode));
    if (found !== undefined) {
      const { xattrs, ...attributes } = found;
      created.set(inode, found);
      if (!isNamed) inherited.set(inode, { inode, attributes, xattrs });
      else if (xattrs.length > 0) inherited.set(inode, { inode, xattrs });
      continue;
    }
    // mkdir(2) in a directory that has inherited set-group-ID.
    const above = created.get(table.parent[inode]!);
    if (isNamed || above === undefined || (above.mode & 0o2000) === 0 || above.gid === 0) continue;
    const attributes = { mode: 0o755, uid: 0, gid: above.gid, mtimeSec: 0, mtimeNsec: 0 };
    inherited.set(inode, { inode, attributes, xattrs: [] });
  }
  return [...inherited.values()];
}

function findBelow(lowers: readonly LowerTree[], path: string): DirectoryAttributes | undefined {
  for (const lower of lowers) {
    const found = lower.directoryAt(path);
    if (found === 'other') return undefined;
    if (found === undefined) continue;
    if (found.xattrs.some(([name]) => name === 'system.posix_acl_default'))
      throw new FormatError('unsupported', 'a default ACL below, which all that is unpacked inherits');
    return found;
  }
  return undefined;
}

/** Returns a copy of the table with these attributes. */
export function withInherited(
  table: InodeTable,
  inherited: readonly InheritedDirectory[],
  memory: MemoryAccount,
): InodeTable {
  const added = inherited.map(({ inode, xattrs }) => {
    const own = new Set(xattrNames(table, inode));
    return xattrs.filter(([name]) => !own.has(name)).map(([name, value]) => [latin1(name), base64(value)] as const);
  });
  let xattrCount = table.xattrCount;
  let poolSizeBytes = table.poolSizeBytes;
  for (const [index, xattrs] of added.entries()) {
    if (xattrs.length === 0) continue;
    xattrCount += table.xattrLength[inherited[index]!.inode]! + xattrs.length;
    for (const [name, value] of xattrs) poolSizeBytes += name.length + value.length;
  }
  const counts = { ...table, xattrCount, poolSizeBytes };
  memory.take(inodeTableSizeBytes(counts));
  const result = allocateInodeTable(counts);
  for (const [name, column] of Object.entries(table))
    if (ArrayBuffer.isView(column)) (result[name as 'mode'] as Uint32Array).set(column as Uint32Array);
  let row = table.xattrCount;
  let poolEnd = table.poolSizeBytes;
  const append = (bytes: Buffer): number => {
    result.pool.set(bytes, poolEnd);
    poolEnd += bytes.length;
    return poolEnd - bytes.length;
  };
  for (const [index, { inode, attributes }] of inherited.entries()) {
    if (attributes !== undefined) {
      result.mode[inode] = (table.mode[inode]! & typeMask) | attributes.mode;
      result.uid[inode] = attributes.uid;
      result.gid[inode] = attributes.gid;
      result.mtimeSec[inode] = attributes.mtimeSec;
      result.mtimeNsec[inode] = attributes.mtimeNsec;
    }
    const xattrs = added[index]!;
    if (xattrs.length === 0) continue;
    const first = table.firstXattr[inode]!;
    const length = table.xattrLength[inode]!;
    result.firstXattr[inode] = row;
    result.xattrLength[inode] = length + xattrs.length;
    for (const column of ['xattrNameOffset', 'xattrNameLength', 'xattrValueOffset', 'xattrValueLength'] as const)
      result[column].set(table[column].subarray(first, first + length), row);
    row += length;
    for (const [name, value] of xattrs) {
      result.xattrNameOffset[row] = append(name);
      result.xattrNameLength[row] = name.length;
      result.xattrValueOffset[row] = append(value);
      result.xattrValueLength[row++] = value.length;
    }
  }
  return result;
}

/** The tree of a lazy layer. */
export function lowerTable(table: InodeTable): LowerTree {
  const tree: LinkedTree = {
    root: ROOT_INODE,
    child: (directory, name) => findChild(table, directory, name),
    parent: (directory) => table.parent[directory]!,
    isDirectory: (inode) => isDirectory(table, inode),
    linkTarget(inode) {
      if (!isSymlink(table, inode)) return undefined;
      const target = Buffer.alloc(table.targetLength[inode]!);
      writeLinkTarget(table, inode, target, 0);
      return target.toString('latin1');
    },
  };
  const work: ResolutionWork = { done: 0 };
  const readLink = (path: string): string | undefined => {
    const inode = lookUp(tree, path, work);
    return inode === 0 ? undefined : tree.linkTarget(inode);
  };
  return {
    directoryAt(path) {
      const inode = lookUp(tree, rootPath(path, readLink, work), work);
      if (inode === 0) return undefined;
      return isDirectory(table, inode) ? attributesOf(table, inode) : 'other';
    },
  };
}

function attributesOf(table: InodeTable, inode: number): DirectoryAttributes {
  const { mode, uid, gid, mtimeSec, mtimeNsec } = table;
  const first = table.firstXattr[inode]!;
  const xattrs = xattrNames(table, inode).flatMap((name, index): [string, string][] => {
    const start = table.xattrValueOffset[first + index]!;
    const value = Buffer.from(table.pool.subarray(start, start + table.xattrValueLength[first + index]!));
    return isCopiedUp(name) ? [[name, value.toString('base64')]] : [];
  });
  return {
    mode: mode[inode]! & permissionMask,
    uid: uid[inode]!,
    gid: gid[inode]!,
    mtimeSec: mtimeSec[inode]!,
    mtimeNsec: mtimeNsec[inode]!,
    xattrs,
  };
}

export function isCopiedUp(name: string): boolean {
  return !name.startsWith('trusted.');
}

function xattrNames(table: InodeTable, inode: number): string[] {
  const first = table.firstXattr[inode]!;
  return Array.from({ length: table.xattrLength[inode]! }, (_, index) => {
    const start = table.xattrNameOffset[first + index]!;
    return Buffer.from(table.pool.subarray(start, start + table.xattrNameLength[first + index]!)).toString('latin1');
  });
}

/** Returns absolute Latin-1 paths of directories; indexes the dirents on first use. */
function pathFinder(table: InodeTable): (inode: number) => string {
  let rowOf: Uint32Array | undefined;
  return (inode) => {
    rowOf ??= indexNames(table);
    const names: string[] = [];
    for (let at = inode; at !== ROOT_INODE; at = table.parent[at]!) {
      const start = table.direntNameOffset[rowOf[at]!]!;
      const name = table.pool.subarray(start, start + table.direntNameLength[rowOf[at]!]!);
      names.push(Buffer.from(name).toString('latin1'));
    }
    return `/${names.reverse().join('/')}`;
  };
}

function indexNames(table: InodeTable): Uint32Array {
  const rowOf = new Uint32Array(table.inodeCount + 1);
  for (let row = 0; row < table.direntCount; row++) rowOf[table.direntInode[row]!] = row;
  return rowOf;
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const base64 = (text: string): Buffer => Buffer.from(text, 'base64');
