import { FormatError } from './error.ts';
import { type ByteSlice, type ByteSource, JsonScanner } from './json-scanner.ts';

export type { ByteSlice, ByteSource } from './json-scanner.ts';
export { readWholeToc, TocReader } from './toc-member.ts';

/**
 * The TOC: `{ "version": 1, "entries": [ ... ] }`, as defined by CRFS and extended by eStargz. Fields that only
 * containers/storage's zstd:chunked has (accesstime, endOffset, tarSplitDigest, ...) are skipped.
 */
export type TocEntryType = 'dir' | 'reg' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo' | 'chunk';

/** One record, overwritten for every entry: copy what you keep. Slices are empty if the field is absent. */
export interface TocEntry {
  type: TocEntryType;
  readonly name: ByteSlice;
  readonly linkName: ByteSlice;
  /** RFC 3339. */
  readonly modTime: ByteSlice;
  readonly digest: ByteSlice;
  readonly chunkDigest: ByteSlice;
  size: number;
  /** Mode of the tar header: permission bits, setuid, setgid, sticky; no file type. */
  mode: number;
  uid: number;
  gid: number;
  devMajor: number;
  devMinor: number;
  offset: number;
  innerOffset: number;
  chunkOffset: number;
  chunkSize: number;
  /** containers/storage writes `"chunkType": "zeros"` for holes, which have no bytes in the blob. */
  hasZerosChunk: boolean;
  /** Length in use of the two arrays below. Values are base64 text. */
  xattrCount: number;
  readonly xattrNames: ByteSlice[];
  readonly xattrValues: ByteSlice[];
}

/** Applies whatever the size of the JSON. */
const maxEntries = 1 << 21;

/** About a millisecond of work. Bytes rather than entries, since a hostile TOC may have few but very long entries. */
const stepBytes = 64 << 10;

/** More than an inode has in practice, although Linux bounds only the size of the list (XATTR_LIST_MAX, 64 KiB). */
const xattrLimit = 128;
const noBytes = new Uint8Array(0);

/**
 * Calls `visit` for each entry in the order of the TOC, in one pass and without an object per entry. Unknown fields are
 * skipped; fields may come in any order. Yields every `stepBytes`, so that the caller can return to the event loop.
 * Throws FormatError('json' | 'entry' | 'limit' | 'unsupported').
 */
export function* scanTocInSteps(
  json: Uint8Array | ByteSource,
  visit: (entry: TocEntry) => void,
): Generator<void, void, void> {
  const scanner = new JsonScanner(json);
  const entry = emptyEntry();
  const key = emptySlice();
  let hasEntries = false;
  let stepEnd = stepBytes;
  const isStepDone = (): boolean => {
    if (scanner.position < stepEnd) return false;
    stepEnd = scanner.position + stepBytes;
    return true;
  };

  const readKey = (): void => {
    scanner.string(key);
    scanner.expect(0x3a);
  };
  const readMember = (): 'entries' | 'other' => {
    readKey();
    if (equals(key, 'entries')) return 'entries';
    if (!equals(key, 'version')) scanner.skip();
    else if (!scanner.acceptNull()) checkVersion(scanner.integer());
    return 'other';
  };
  const readEntry = (): void => readTocEntry(scanner, entry, key);

  scanner.whole(() => scanner.expect(0x7b));
  if (scanner.whole(() => scanner.accept(0x7d))) throw scanner.error('no entries');
  do {
    if (isStepDone()) yield;
    if (scanner.whole(readMember) === 'other') continue;
    if (hasEntries) throw scanner.error('two lists of entries');
    hasEntries = true;
    // Go writes null for an empty list: the layer has only its root.
    if (scanner.whole(() => scanner.acceptNull())) continue;
    scanner.whole(() => scanner.expect(0x5b));
    if (scanner.whole(() => scanner.accept(0x5d))) continue;
    let count = 0;
    do {
      if (count++ === maxEntries) throw new FormatError('limit', `TOC: more than ${maxEntries} entries`);
      scanner.whole(readEntry);
      visit(entry);
      if (isStepDone()) yield;
    } while (scanner.whole(() => scanner.accept(0x2c)));
    scanner.whole(() => scanner.expect(0x5d));
  } while (scanner.whole(() => scanner.accept(0x2c)));
  scanner.whole(() => scanner.expect(0x7d));
  if (!hasEntries) throw scanner.error('no entries');
  if (!scanner.isAtEnd()) throw scanner.error('bytes after the end of the JSON');
}

function checkVersion(version: number): void {
  if (version !== 1) throw new FormatError('unsupported', `TOC version ${version}; only version 1 is supported`);
}

function readTocEntry(scanner: JsonScanner, entry: TocEntry, key: ByteSlice): void {
  resetEntry(entry);
  let hasType = false;
  scanner.expect(0x7b);
  if (!scanner.accept(0x7d)) {
    do {
      scanner.string(key);
      scanner.expect(0x3a);
      if (readField(scanner, entry, key)) hasType = true;
    } while (scanner.accept(0x2c));
    scanner.expect(0x7d);
  }
  if (!hasType) throw new FormatError('entry', 'no type', { entry: sliceText(entry.name) });
}

/** Reads the value of one field; returns true if it was the type. */
function readField(scanner: JsonScanner, entry: TocEntry, key: ByteSlice): boolean {
  const field = fieldNamed(key);
  if (field === undefined) {
    scanner.skip();
    return false;
  }
  // Go's decoder leaves a field unchanged on null.
  if (scanner.acceptNull()) return false;
  switch (field) {
    case 'name':
    case 'linkName':
    case 'digest':
    case 'chunkDigest':
      scanner.string(entry[field]);
      return false;
    case 'modtime':
      scanner.string(entry.modTime);
      return false;
    case 'type':
      scanner.string(key);
      entry.type = typeNamed(key, entry);
      return true;
    case 'xattrs':
      readXattrs(scanner, entry);
      return false;
    case 'chunkType':
      scanner.string(key);
      entry.hasZerosChunk = equals(key, 'zeros');
      return false;
    default:
      entry[field] = scanner.integer();
      return false;
  }
}

function readXattrs(scanner: JsonScanner, entry: TocEntry): void {
  entry.xattrCount = 0;
  scanner.expect(0x7b);
  if (scanner.accept(0x7d)) return;
  do {
    const row = entry.xattrCount;
    if (row === xattrLimit) {
      throw new FormatError('limit', `more than ${xattrLimit} extended attributes`, { entry: sliceText(entry.name) });
    }
    entry.xattrNames[row] ??= emptySlice();
    entry.xattrValues[row] ??= emptySlice();
    scanner.string(entry.xattrNames[row]);
    scanner.expect(0x3a);
    if (scanner.acceptNull()) clearSlice(entry.xattrValues[row]);
    else scanner.string(entry.xattrValues[row]);
    entry.xattrCount = row + 1;
  } while (scanner.accept(0x2c));
  scanner.expect(0x7d);
}

const numberFields = [
  'size',
  'mode',
  'uid',
  'gid',
  'devMajor',
  'devMinor',
  'offset',
  'innerOffset',
  'chunkOffset',
  'chunkSize',
] as const;
const sliceFields = ['name', 'linkName', 'digest', 'chunkDigest'] as const;
const fields = [...numberFields, ...sliceFields, 'modtime', 'type', 'xattrs', 'chunkType'] as const;
type Field = (typeof fields)[number];

/** Looked up by length, then compared byte by byte: a Map would need a string per key. */
const fieldsByLength: Field[][] = [];
for (const field of fields) {
  fieldsByLength[field.length] ??= [];
  fieldsByLength[field.length]!.push(field);
}

function fieldNamed(key: ByteSlice): Field | undefined {
  const candidates = fieldsByLength[key.end - key.start];
  if (candidates === undefined) return undefined;
  for (let index = 0; index < candidates.length; index++) if (equals(key, candidates[index]!)) return candidates[index];
  return undefined;
}

const types = ['reg', 'dir', 'chunk', 'symlink', 'hardlink', 'char', 'block', 'fifo'] as const satisfies TocEntryType[];

function typeNamed(slice: ByteSlice, entry: TocEntry): TocEntryType {
  for (let index = 0; index < types.length; index++) if (equals(slice, types[index]!)) return types[index]!;
  throw new FormatError('unsupported', `unknown type ${JSON.stringify(sliceText(slice).slice(0, 40))}`, {
    entry: sliceText(entry.name),
  });
}

function equals(slice: ByteSlice, text: string): boolean {
  const length = text.length;
  if (slice.end - slice.start !== length) return false;
  const { bytes, start } = slice;
  for (let index = 0; index < length; index++) if (bytes[start + index] !== text.charCodeAt(index)) return false;
  return true;
}

/** For error messages: invalid UTF-8 becomes U+FFFD. */
export function sliceText(slice: ByteSlice): string {
  return Buffer.from(slice.bytes.buffer, slice.bytes.byteOffset + slice.start, slice.end - slice.start).toString(
    'utf8',
  );
}

function emptySlice(): ByteSlice {
  return { bytes: noBytes, start: 0, end: 0 };
}

function clearSlice(slice: ByteSlice): void {
  slice.start = 0;
  slice.end = 0;
}

function emptyEntry(): TocEntry {
  return {
    type: 'dir',
    name: emptySlice(),
    linkName: emptySlice(),
    modTime: emptySlice(),
    digest: emptySlice(),
    chunkDigest: emptySlice(),
    size: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    devMajor: 0,
    devMinor: 0,
    offset: 0,
    innerOffset: 0,
    chunkOffset: 0,
    chunkSize: 0,
    hasZerosChunk: false,
    xattrCount: 0,
    xattrNames: [],
    xattrValues: [],
  };
}

function resetEntry(entry: TocEntry): void {
  clearSlice(entry.name);
  clearSlice(entry.linkName);
  clearSlice(entry.modTime);
  clearSlice(entry.digest);
  clearSlice(entry.chunkDigest);
  entry.size = 0;
  entry.mode = 0;
  entry.uid = 0;
  entry.gid = 0;
  entry.devMajor = 0;
  entry.devMinor = 0;
  entry.offset = 0;
  entry.innerOffset = 0;
  entry.chunkOffset = 0;
  entry.chunkSize = 0;
  entry.hasZerosChunk = false;
  entry.xattrCount = 0;
}
