/**
 * Scans tar headers. Yields one record per entry with the position of its raw header blocks (extension headers included) and
 * of its payload, so that a writer can pass the bytes through. Holds one header at a time.
 *
 * Reads as Go's archive/tar does: links, devices and directories have no payload, whatever their size field says; pax global
 * headers are not applied to entries; and the padding of the last file may be missing.
 */
import { type Extent, readSparseFile } from './sparse.ts';
import {
  blockSizeBytes,
  isChecksumRight,
  malformed,
  parsePaxInteger,
  parsePaxRecords,
  parsePaxTime,
  readInteger,
  readNumber,
  readText,
  roundUpToBlock,
  type TarTime,
  toSafeNumber,
  unsupported,
} from './tar-fields.ts';

export type TarEntryType = 'dir' | 'reg' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';

export interface TarEntry {
  /** Normalised: no leading `./` or `/`, no `..`, no trailing slash; empty for the root. Latin-1, one character per byte. */
  readonly name: string;
  readonly type: TarEntryType;
  /** Target of a symbolic or hard link, verbatim. */
  readonly linkName: string;
  /** Raw header blocks: bytes [headerOffset, headerOffset + headerSizeBytes) of the tar. */
  readonly headerOffset: number;
  readonly headerSizeBytes: number;
  readonly payloadOffset: number;
  /** Content of a regular file; 0 for everything else. */
  readonly sizeBytes: number;
  /** Only for sparse files; other content is contiguous at `payloadOffset`. */
  readonly extents: readonly Extent[] | undefined;
  readonly mode: number;
  /** 32 bits, as in the kernel; 0xffffffff leaves the owner unchanged (chown(2)). */
  readonly uid: number;
  readonly gid: number;
  readonly userName: string;
  readonly groupName: string;
  readonly mtime: TarTime;
  readonly devMajor: number;
  readonly devMinor: number;
  /** Latin-1 names and values. */
  readonly xattrs: ReadonlyMap<string, string> | undefined;
}

/** Exactly `length` bytes from `offset`, valid until the next call; never called beyond the end of the tar. */
export type ReadAt = (offset: number, length: number) => Buffer;

/** Limit of Go's archive/tar for extension headers, which are read into memory. */
export const maxExtensionSizeBytes = 1 << 20;

const xattrPrefix = 'SCHILY.xattr.';

interface Extensions {
  readonly pax?: ReadonlyMap<string, string>;
  readonly longName?: string;
  readonly longLink?: string;
}

const none: Extensions = {};

/**
 * Throws TarError. Calls `onGlobalHeader` with the names of global headers, in
 * order: containerd creates their parent directories, but no file.
 */
export function* scanTar(
  readAt: ReadAt,
  tarSizeBytes: number,
  onGlobalHeader?: (name: string) => void,
): Generator<TarEntry, void, void> {
  let offset = 0;
  let headerOffset = 0;
  let extensions = none;
  while (offset + blockSizeBytes <= tarSizeBytes) {
    const block = readAt(offset, blockSizeBytes);
    if (isZero(block)) {
      const next = offset + blockSizeBytes;
      if (next + blockSizeBytes <= tarSizeBytes && !isZero(readAt(next, blockSizeBytes))) {
        throw malformed(`a lone zero block at offset ${offset}`);
      }
      return;
    }
    if (!isChecksumRight(block)) throw malformed(`the header at offset ${offset} has a wrong checksum`);
    const type = block[156]!;
    const payloadOffset = offset + blockSizeBytes;

    const extension = extensionOf(type);
    if (extension !== undefined) {
      const sizeBytes = readNumber(block, 124, 12);
      if (sizeBytes < 0 || sizeBytes > maxExtensionSizeBytes)
        throw malformed(`an extension header of ${sizeBytes} bytes`);
      if (payloadOffset + sizeBytes > tarSizeBytes) throw malformed('it is cut short');
      offset = payloadOffset + roundUpToBlock(sizeBytes);
      if (extension === 'global' || extension === 'label') {
        headerOffset = offset;
        extensions = none;
        if (extension === 'global') onGlobalHeader?.(normaliseName(headerName(block)));
      } else {
        const payload = readAt(payloadOffset, sizeBytes);
        if (extension === 'pax') extensions = { ...extensions, pax: parsePaxRecords(payload) };
        else extensions = { ...extensions, [extension]: readText(payload, 0, payload.length) };
      }
      continue;
    }

    const place = { headerOffset, payloadOffset, tarSizeBytes };
    const { entry, storedSizeBytes } = readEntry(block, type, extensions, place, readAt);
    offset = payloadOffset + roundUpToBlock(storedSizeBytes);
    yield entry;
    headerOffset = offset;
    extensions = none;
  }
  if (offset < tarSizeBytes) throw malformed('it is cut short');
}

/** Decodes and quotes a Latin-1 name for messages. */
export function printable(name: string): string {
  return JSON.stringify(Buffer.from(name, 'latin1').toString('utf8'));
}

/** path.Clean("/" + name) without the leading slash: `..` cannot leave the root. */
export function normaliseName(name: string): string {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}

function extensionOf(type: number): 'pax' | 'global' | 'label' | 'longName' | 'longLink' | undefined {
  switch (type) {
    case 0x78: // x
    case 0x58: // X, Solaris's type flag for pax
      return 'pax';
    case 0x67: // g
      return 'global';
    case 0x56: // V, a GNU volume label: not a file either
      return 'label';
    case 0x4c: // L
      return 'longName';
    case 0x4b: // K
      return 'longLink';
    default:
      return undefined;
  }
}

function readEntry(
  block: Buffer,
  typeFlag: number,
  { pax, longName, longLink }: Extensions,
  place: { readonly headerOffset: number; readonly payloadOffset: number; readonly tarSizeBytes: number },
  readAt: ReadAt,
): { entry: TarEntry; storedSizeBytes: number } {
  // An empty pax value falls back to the header field (POSIX pax, "Extended Header Precedence").
  const record = (key: string): string | undefined => pax?.get(key) || undefined;
  const integer = (key: string, offset: number, length: number): bigint => {
    const text = record(key);
    return text === undefined ? readInteger(block, offset, length) : parsePaxInteger(text);
  };
  // GNU long names take precedence over pax paths (Go's archive/tar).
  const rawName = (longName || record('path')) ?? headerName(block);
  const type = entryType(typeFlag, rawName);
  const storedSizeBytes = type === 'reg' ? toSafeNumber(integer('size', 124, 12)) : 0;
  if (storedSizeBytes < 0) throw malformed(`${printable(rawName)} has a negative size`);
  const { headerOffset, payloadOffset, tarSizeBytes } = place;
  if (payloadOffset + storedSizeBytes > tarSizeBytes) throw malformed(`it is cut short in ${printable(rawName)}`);
  const payload = { offset: payloadOffset, storedSizeBytes };
  const sparse = type === 'reg' && pax !== undefined ? readSparseFile(pax, payload, readAt) : undefined;
  const mtime = record('mtime');
  const device = type === 'char' || type === 'block';
  const entry: TarEntry = {
    name: normaliseName(sparse?.name ?? rawName),
    type,
    linkName:
      type === 'symlink' || type === 'hardlink' ? ((longLink || record('linkpath')) ?? readText(block, 157, 100)) : '',
    headerOffset,
    headerSizeBytes: payloadOffset - headerOffset,
    payloadOffset,
    sizeBytes: sparse?.sizeBytes ?? storedSizeBytes,
    extents: sparse?.extents,
    mode: Number(readInteger(block, 100, 8) & 0o7777n),
    uid: toId(integer('uid', 108, 8)),
    gid: toId(integer('gid', 116, 8)),
    userName: record('uname') ?? (isUstar(block) ? readText(block, 265, 32) : ''),
    groupName: record('gname') ?? (isUstar(block) ? readText(block, 297, 32) : ''),
    mtime: mtime === undefined ? { sec: Number(readInteger(block, 136, 12)), nsec: 0 } : parsePaxTime(mtime),
    devMajor: device ? readNumber(block, 329, 8) : 0,
    devMinor: device ? readNumber(block, 337, 8) : 0,
    xattrs: readXattrs(pax),
  };
  return { entry, storedSizeBytes };
}

/** uid_t has 32 bits; Go truncates. */
function toId(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}

function entryType(flag: number, name: string): TarEntryType {
  switch (flag) {
    case 0x00:
      return name.endsWith('/') ? 'dir' : 'reg'; // v7 has no type flag for directories
    case 0x30: // 0
    case 0x37: // 7, contiguous: treated as an ordinary file
      return 'reg';
    case 0x31:
      return 'hardlink';
    case 0x32:
      return 'symlink';
    case 0x33:
      return 'char';
    case 0x34:
      return 'block';
    case 0x35:
      return 'dir';
    case 0x36:
      return 'fifo';
    case 0x53: // S
      throw unsupported(`${printable(name)} is a sparse file of GNU tar's old format, which containerd refuses too`);
    default:
      throw unsupported(`${printable(name)} has the type flag ${JSON.stringify(String.fromCharCode(flag))}`);
  }
}

function readXattrs(pax: ReadonlyMap<string, string> | undefined): Map<string, string> | undefined {
  if (pax === undefined) return undefined;
  let xattrs: Map<string, string> | undefined;
  for (const [key, value] of pax) {
    if (!key.startsWith(xattrPrefix) || key.length === xattrPrefix.length) continue;
    xattrs ??= new Map();
    xattrs.set(key.slice(xattrPrefix.length), value);
  }
  return xattrs;
}

/** Only POSIX ustar has a prefix field: GNU's old format has times there, v7 has nothing. */
function headerName(block: Buffer): string {
  const name = readText(block, 0, 100);
  if (block.toString('latin1', 257, 263) !== 'ustar\0') return name;
  const isStar = block.toString('latin1', 508, 512) === 'tar\0';
  const prefix = readText(block, 345, isStar ? 131 : 155);
  return prefix === '' ? name : `${prefix}/${name}`;
}

function isUstar(block: Buffer): boolean {
  return block.toString('latin1', 257, 262) === 'ustar';
}

const zeroBlock = Buffer.alloc(blockSizeBytes);

function isZero(block: Buffer): boolean {
  return block.equals(zeroBlock);
}
