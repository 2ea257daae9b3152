import { FormatError, type FormatErrorCode } from '../estargz/error.ts';
import { sliceText, type TocEntry } from '../estargz/toc.ts';
import { freeColumns, growColumns } from './columns.ts';
import { isDirectoryKind, kinds } from './kinds.ts';
import type { MemoryAccount } from './memory.ts';
import { type NameTree, PATH_LIMIT_BYTES } from './name-tree.ts';
import { parseTimestamp, type Timestamp } from './rfc3339.ts';
import { XattrColumns, type XattrRules } from './xattr-columns.ts';

export const rootObject = 1;

/** time.Unix(0, 1<<63 - 1): containerd sets 1970 for later times, and for those before 1970. */
export const latestSec = 9_223_372_036;

const columns = [
  'kind',
  'flags',
  'mode',
  'uid',
  'gid',
  'size',
  'mtimeSec',
  'mtimeNsec',
  'value',
  'valueLength',
  'firstXattr',
  'xattrLength',
  'node',
] as const;

/** Files of all types that a TOC's entries have created, in order. An object may have several names (hard links), or none. */
export class ObjectColumns {
  count = rootObject;
  kind = new Uint8Array();
  flags = new Uint8Array();
  mode = new Uint16Array();
  uid = new Uint32Array();
  gid = new Uint32Array();
  size = new Float64Array();
  mtimeSec = new Float64Array();
  mtimeNsec = new Uint32Array();
  /** Devices: rdev. Links: offset of the target in the pool. Regular files: first chunk row. */
  value = new Uint32Array();
  /** Links: length of the target. Regular files: number of chunk rows. */
  valueLength = new Uint32Array();
  firstXattr = new Uint32Array();
  xattrLength = new Uint8Array();
  /** The node that it was created at. */
  node = new Uint32Array();
  readonly xattrs: XattrColumns;
  readonly #tree: NameTree;
  readonly #memory: MemoryAccount;
  readonly #time: Timestamp = { sec: 0, nsec: 0 };

  constructor(tree: NameTree, capacity: number, rules: XattrRules, memory: MemoryAccount) {
    this.#tree = tree;
    this.#memory = memory;
    this.xattrs = new XattrColumns(tree, rules, memory);
    growColumns(this, columns, capacity, memory);
    // Unpacking leaves the root as the snapshotter created it.
    this.mode[rootObject] = 0o755;
    this.node[rootObject] = rootObject;
    this.kind[rootObject] = kinds.dir;
  }

  free(): void {
    freeColumns(this, columns);
    this.xattrs.free();
  }

  add(kind: number): number {
    const object = ++this.count;
    if (object >= this.kind.length) growColumns(this, columns, Math.ceil(this.kind.length * 1.5), this.#memory);
    this.kind[object] = kind;
    return object;
  }

  /** Sets attributes as containerd's chown, setxattr and chmod do; also for an existing object. */
  noteAttributes(object: number, entry: TocEntry): void {
    if (!isWhole(entry.mode, 0xffffffff)) throw refuse(entry, 'entry', `mode ${entry.mode}`);
    // The kernel keeps 2^32 - 1 for "no change".
    if (!isWhole(entry.uid, 0xfffffffe)) throw refuse(entry, 'entry', `uid ${entry.uid}`);
    if (!isWhole(entry.gid, 0xfffffffe)) throw refuse(entry, 'entry', `gid ${entry.gid}`);
    this.mode[object] = entry.mode & 0o7777;
    this.uid[object] = entry.uid;
    this.gid[object] = entry.gid;
    this.noteTime(object, entry);
    const length = this.xattrLength[object]!;
    if (entry.xattrCount === 0 && length === 0) return;
    const first = this.xattrs.count;
    this.xattrLength[object] = this.xattrs.merge(this.firstXattr[object]!, length, entry, this.kind[object]!);
    this.firstXattr[object] = first;
  }

  noteTime(object: number, entry: TocEntry): void {
    if (!parseTimestamp(entry.modTime, this.#time)) {
      throw refuse(entry, 'entry', `modtime ${JSON.stringify(sliceText(entry.modTime).slice(0, 60))}`);
    }
    const { sec, nsec } = this.#time;
    const isSettable = sec >= 0 && sec < latestSec;
    this.mtimeSec[object] = isSettable ? sec : 0;
    this.mtimeNsec[object] = isSettable ? nsec : 0;
  }

  noteTarget(object: number, entry: TocEntry): void {
    checkTarget(entry);
    const { bytes, start, end } = entry.linkName;
    this.value[object] = this.#tree.append(bytes, start, end);
    this.valueLength[object] = end - start;
  }

  noteDevice(object: number, entry: TocEntry): void {
    const { devMajor: major, devMinor: minor } = entry;
    if (!isWhole(major, 0xfff) || !isWhole(minor, 0xfffff))
      throw refuse(entry, 'entry', `device number ${major}:${minor}`);
    this.value[object] = ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
  }

  isDirectory(object: number): boolean {
    return isDirectoryKind(this.kind[object]!);
  }

  hasFlag(object: number, flag: number): boolean {
    return (this.flags[object]! & flag) !== 0;
  }
}

export function checkTarget(entry: TocEntry): void {
  const { bytes, start, end } = entry.linkName;
  if (start === end) throw refuse(entry, 'link', 'a link without a target');
  if (end - start > PATH_LIMIT_BYTES)
    throw refuse(entry, 'link', `a target of ${end - start} bytes (limit ${PATH_LIMIT_BYTES})`);
  for (let at = start; at < end; at++) if (bytes[at] === 0) throw refuse(entry, 'link', 'a target with a NUL byte');
}

/** An integer from 0 to `limit`. */
export function isWhole(value: number, limit: number): boolean {
  return value >= 0 && value <= limit;
}

export function refuse(entry: TocEntry, code: FormatErrorCode, problem: string): FormatError {
  return new FormatError(code, problem, { entry: sliceText(entry.name) });
}
