import { FormatError } from '../estargz/error.ts';
import { type ByteSlice, sliceText, type TocEntry } from '../estargz/toc.ts';
import { growColumns } from './columns.ts';
import { NAME_LIMIT_BYTES, type NameTree } from './name-tree.ts';

/** XATTR_SIZE_MAX of Linux. */
const valueLimitBytes = 65_536;
const internedLimit = 1024;
const columns = ['nameOffset', 'nameLength', 'valueOffset', 'valueLength'] as const;

/** Extended attributes, a row each; names (once for the whole layer) and decoded values lie in the name tree's pool. */
export class XattrColumns {
  count = 0;
  nameOffset = new Uint32Array(64);
  nameLength = new Uint32Array(64);
  valueOffset = new Uint32Array(64);
  valueLength = new Uint32Array(64);
  readonly #tree: NameTree;
  /** Offsets of the names that were seen, by name: there are few in any layer, and the limit bounds a hostile one. */
  readonly #interned = new Map<string, number>();

  constructor(tree: NameTree) {
    this.#tree = tree;
  }

  /** Adds those of one entry; returns how many rows it took. */
  add(entry: TocEntry): number {
    const first = this.count;
    for (let index = 0; index < entry.xattrCount; index++) {
      const name = entry.xattrNames[index]!;
      checkName(name, entry);
      if (!isShowable(name)) continue;
      const row = this.#rowFor(name, first);
      this.#noteValue(row, entry.xattrValues[index]!, entry);
    }
    return this.count - first;
  }

  /** A name that comes twice in one entry keeps its first row and its last value, as in any JSON decoder. */
  #rowFor(name: ByteSlice, first: number): number {
    const length = name.end - name.start;
    for (let row = first; row < this.count; row++) {
      if (this.nameLength[row] !== length) continue;
      let same = 0;
      while (same < length && this.#tree.pool[this.nameOffset[row]! + same] === name.bytes[name.start + same]) same++;
      if (same === length) return row;
    }
    if (this.count === this.nameOffset.length) growColumns(this, columns, 2 * this.count);
    const row = this.count++;
    this.nameOffset[row] = this.#intern(name);
    this.nameLength[row] = length;
    return row;
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

  #noteValue(row: number, text: ByteSlice, entry: TocEntry): void {
    const value = decodeBase64(text);
    if (value === undefined)
      throw new FormatError('entry', 'an extended attribute that is not base64', { entry: sliceText(entry.name) });
    if (value.length > valueLimitBytes) {
      throw new FormatError('limit', `an extended attribute of ${value.length} bytes (limit ${valueLimitBytes})`, {
        entry: sliceText(entry.name),
      });
    }
    this.valueOffset[row] = this.#tree.append(value, 0, value.length);
    this.valueLength[row] = value.length;
  }
}

/** Namespaces of Linux. Others cannot be set on a file, so unpacking leaves them out (a tar of another system has some). */
const namespaces = ['user.', 'trusted.', 'security.'];
const acls = ['system.posix_acl_access', 'system.posix_acl_default'];

function isShowable(name: ByteSlice): boolean {
  const text = sliceText(name);
  return acls.includes(text) || namespaces.some((prefix) => text.startsWith(prefix) && text.length > prefix.length);
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

/** Strict: Buffer's own decoder drops what it does not know, so what it gives back must make the same text again. */
function decodeBase64(slice: ByteSlice): Buffer | undefined {
  const text = Buffer.from(slice.bytes.buffer, slice.bytes.byteOffset + slice.start, slice.end - slice.start).toString(
    'latin1',
  );
  const value = Buffer.from(text, 'base64');
  return value.toString('base64') === text ? value : undefined;
}
