import { FormatError } from '../estargz/error.ts';
import { type ByteSlice, sliceText, type TocEntry } from '../estargz/toc.ts';
import { freeColumns, growColumns } from './columns.ts';
import { isDirectoryKind, kinds } from './kinds.ts';
import type { MemoryAccount } from './memory.ts';
import { NAME_LIMIT_BYTES, type NameTree } from './name-tree.ts';
import { settledAcl } from './posix-acl.ts';

/** XATTR_SIZE_MAX of Linux. */
export const VALUE_LIMIT_BYTES = 65_536;
const internedLimit = 1024;
/** Per file, from all of its entries: the count is one byte. */
export const FILE_LIMIT = 255;
const columns = ['nameOffset', 'nameLength', 'valueOffset', 'valueLength'] as const;

export interface XattrRules {
  /** Namespace of the overlay's own attributes, which are never taken from an archive. */
  readonly opaqueXattr: 'trusted' | 'user';
}

/** Extended attributes, one row each. Names (interned) and decoded values are in the name tree's pool. */
export class XattrColumns {
  count = 0;
  nameOffset = new Uint32Array(64);
  nameLength = new Uint32Array(64);
  valueOffset = new Uint32Array(64);
  valueLength = new Uint32Array(64);
  readonly #tree: NameTree;
  readonly #rules: XattrRules;
  readonly #memory: MemoryAccount;
  /** Offsets of interned names; layers have few, and a limit bounds hostile ones. */
  readonly #interned = new Map<string, number>();

  constructor(tree: NameTree, rules: XattrRules, memory: MemoryAccount) {
    this.#tree = tree;
    this.#rules = rules;
    this.#memory = memory;
  }

  /**
   * Appends the rows of an object that has rows [first, first + length) and gets another entry: merges both, after the effects
   * of chown and chmod on the existing ones. Returns the number of appended rows.
   */
  merge(first: number, length: number, entry: TocEntry, kind: number): number {
    const start = this.count;
    for (let row = first; row < first + length; row++) this.#keepRow(row, entry, kind);
    for (let index = 0; index < entry.xattrCount; index++) {
      const name = entry.xattrNames[index]!;
      checkName(name, entry);
      const text = sliceText(name);
      if (!isSet(text, kind, this.#rules)) continue;
      if (text === defaultAcl)
        throw new FormatError('unsupported', 'a default ACL, which all that is unpacked below inherits', {
          entry: sliceText(entry.name),
        });
      const value = decodedValue(entry.xattrValues[index]!, entry);
      if (text === accessAcl) this.#addAcl(name, value, start, entry);
      else this.#noteValue(this.#rowFor(name, start), value);
    }
    if (this.count - start > FILE_LIMIT)
      throw new FormatError('limit', `more than ${FILE_LIMIT} extended attributes`, { entry: sliceText(entry.name) });
    return this.count - start;
  }

  free(): void {
    freeColumns(this, columns);
  }

  /** chown(2) removes capabilities, except from directories; chmod(2) rewrites an ACL. */
  #keepRow(row: number, entry: TocEntry, kind: number): void {
    const { pool } = this.#tree;
    const offset = this.nameOffset[row]!;
    const name = { bytes: pool, start: offset, end: offset + this.nameLength[row]! };
    const text = sliceText(name);
    if (text === capability && !isDirectoryKind(kind)) return;
    const valueAt = this.valueOffset[row]!;
    const value = pool.subarray(valueAt, valueAt + this.valueLength[row]!);
    if (text === accessAcl) {
      this.#addAcl(name, value, this.count, entry);
      return;
    }
    const kept = this.#addRow();
    for (const column of columns) this[column][kept] = this[column][row]!;
  }

  #addAcl(name: ByteSlice, value: Uint8Array, start: number, entry: TocEntry): void {
    const acl = settledAcl(value, entry.mode);
    if (acl === undefined)
      throw new FormatError('entry', `an impossible ${accessAcl}`, { entry: sliceText(entry.name) });
    if (acl.length > 0) this.#noteValue(this.#rowFor(name, start), acl);
  }

  /** A name that is twice in an entry keeps its first row and last value, as in JSON decoders. */
  #rowFor(name: ByteSlice, first: number): number {
    const length = name.end - name.start;
    for (let row = first; row < this.count; row++) {
      if (this.nameLength[row] !== length) continue;
      let same = 0;
      while (same < length && this.#tree.pool[this.nameOffset[row]! + same] === name.bytes[name.start + same]) same++;
      if (same === length) return row;
    }
    const row = this.#addRow();
    this.nameOffset[row] = this.#intern(name);
    this.nameLength[row] = length;
    return row;
  }

  #addRow(): number {
    if (this.count === this.nameOffset.length) growColumns(this, columns, 2 * this.count, this.#memory);
    return this.count++;
  }

  #intern(name: ByteSlice): number {
    const text = Buffer.from(name.bytes.buffer, name.bytes.byteOffset + name.start, name.end - name.start).toString(
      'latin1',
    );
    const known = this.#interned.get(text);
    if (known !== undefined) return known;
    const offset = this.#tree.append(name.bytes, name.start, name.end);
    if (this.#interned.size < internedLimit) this.#interned.set(text, offset);
    return offset;
  }

  #noteValue(row: number, value: Uint8Array): void {
    this.valueOffset[row] = this.#tree.append(value, 0, value.length);
    this.valueLength[row] = value.length;
  }
}

const capability = 'security.capability';
export const accessAcl = 'system.posix_acl_access';
const defaultAcl = 'system.posix_acl_default';

/**
 * Whether unpacking sets the attribute. containerd skips trusted.*, and ignores ENOTSUP for unknown namespaces and EPERM for
 * user.* on anything but regular files and directories (xattr(7)).
 */
export function isSet(name: string, kind: number, { opaqueXattr }: XattrRules): boolean {
  if (name.startsWith('security.')) return name.length > 'security.'.length;
  if (name === accessAcl) return kind !== kinds.symlink;
  if (name === defaultAcl) return isDirectoryKind(kind);
  if (!name.startsWith('user.') || name === 'user.') return false;
  if (opaqueXattr === 'user' && name.startsWith('user.overlay.')) return false;
  return kind === kinds.reg || isDirectoryKind(kind);
}

function decodedValue(text: ByteSlice, entry: TocEntry): Buffer {
  const value = decodeBase64(text);
  if (value === undefined)
    throw new FormatError('entry', 'an extended attribute that is not base64', { entry: sliceText(entry.name) });
  if (value.length > VALUE_LIMIT_BYTES) {
    throw new FormatError('limit', `an extended attribute of ${value.length} bytes (limit ${VALUE_LIMIT_BYTES})`, {
      entry: sliceText(entry.name),
    });
  }
  return value;
}

function checkName(name: ByteSlice, entry: TocEntry): void {
  const length = name.end - name.start;
  let isGood = length > 0 && length <= NAME_LIMIT_BYTES;
  for (let at = name.start; at < name.end && isGood; at++) isGood = name.bytes[at] !== 0;
  if (isGood) return;
  throw new FormatError(
    'entry',
    `extended attribute ${JSON.stringify(sliceText(name).slice(0, 60))} has an impossible name`,
    {
      entry: sliceText(entry.name),
    },
  );
}

/** Strict: Buffer's decoder skips invalid characters, so the result must encode to the same text. */
function decodeBase64(slice: ByteSlice): Buffer | undefined {
  const text = Buffer.from(slice.bytes.buffer, slice.bytes.byteOffset + slice.start, slice.end - slice.start).toString(
    'latin1',
  );
  const value = Buffer.from(text, 'base64');
  return value.toString('base64') === text ? value : undefined;
}
