/**
 * Scanner of tar headers: yields one record an entry and says where its raw header blocks (extension headers included)
 * and its payload lie, so that a writer passes the bytes through untouched. Never holds more than one header.
 *
 * Reads as container runtimes read (Go's archive/tar): links, devices and directories have no payload whatever their
 * size field says, and pax global headers apply to nothing. Those are left out of the result.
 */
import {
  blockSizeBytes,
  isChecksumRight,
  malformed,
  parsePaxNumber,
  parsePaxRecords,
  parsePaxTime,
  readNumber,
  readText,
  roundUpToBlock,
  type TarTime,
  unsupported,
} from './tar-fields.ts';

export type TarEntryType = 'dir' | 'reg' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';

export interface TarEntry {
  /** Normalised: no leading `./` or `/`, no `..`, no trailing slash; empty for the root. Latin-1, a character a byte. */
  readonly name: string;
  readonly type: TarEntryType;
  /** Symbolic links: the target as it stands. Hard links: the normalised name of the other entry. */
  readonly linkName: string;
  /** Raw header blocks: bytes [headerOffset, headerOffset + headerSizeBytes) of the tar. */
  readonly headerOffset: number;
  readonly headerSizeBytes: number;
  readonly payloadOffset: number;
  /** Payload without its padding; 0 unless a regular file. */
  readonly sizeBytes: number;
  readonly mode: number;
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

/** Exactly `length` bytes from `offset`, valid until the next call. The scanner stays within the tar's size. */
export type ReadAt = (offset: number, length: number) => Buffer;

/** Go's archive/tar and GNU tar bound extension headers too: without one a header could ask for all memory. */
const maxExtensionSizeBytes = 1 << 20;

const xattrPrefix = 'SCHILY.xattr.';

interface Extensions {
  pax: Map<string, string> | undefined;
  longName: string | undefined;
  longLink: string | undefined;
}

/** Throws ConvertError `malformed-layer` or `unsupported-layer`. */
export function* scanTar(readAt: ReadAt, tarSizeBytes: number): Generator<TarEntry, void, void> {
  let offset = 0;
  let headerOffset = 0;
  let extensions: Extensions = { pax: undefined, longName: undefined, longLink: undefined };
  let pending = false;
  while (offset + blockSizeBytes <= tarSizeBytes) {
    const block = readAt(offset, blockSizeBytes);
    if (isZero(block)) {
      if (pending) throw malformed('it ends after an extension header');
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
      if (payloadOffset + roundUpToBlock(sizeBytes) > tarSizeBytes) throw malformed('it is cut short');
      if (extension === 'global') {
        if (pending) throw malformed('a global header between an extension header and its entry');
        headerOffset = payloadOffset + roundUpToBlock(sizeBytes);
      } else {
        const payload = readAt(payloadOffset, sizeBytes);
        if (extension === 'pax') extensions.pax = parsePaxRecords(payload);
        else extensions[extension] = readText(payload, 0, payload.length);
        pending = true;
      }
      offset = payloadOffset + roundUpToBlock(sizeBytes);
      continue;
    }

    const entry = readEntry(block, type, extensions, headerOffset, payloadOffset);
    offset = payloadOffset + roundUpToBlock(entry.sizeBytes);
    if (offset > tarSizeBytes) throw malformed(`it is cut short in ${printable(entry.name)}`);
    yield entry;
    headerOffset = offset;
    extensions = { pax: undefined, longName: undefined, longLink: undefined };
    pending = false;
  }
  if (pending || offset < tarSizeBytes) throw malformed('it is cut short');
}

/** A Latin-1 name as a person wrote it, for messages. */
export function printable(name: string): string {
  return JSON.stringify(Buffer.from(name, 'latin1').toString('utf8'));
}

/** As path.Clean("/" + name) without the slash: the archive cannot name anything above its root. */
export function normaliseName(name: string): string {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}

function extensionOf(type: number): 'pax' | 'global' | 'longName' | 'longLink' | undefined {
  switch (type) {
    case 0x78: // x
    case 0x58: // X, Solaris's name for it
      return 'pax';
    case 0x67: // g
    case 0x56: // V, a GNU volume label: no file either
      return 'global';
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
  headerOffset: number,
  payloadOffset: number,
): TarEntry {
  // An empty pax value means "as the header has it" (POSIX pax, "Extended Header Precedence").
  const record = (key: string): string | undefined => pax?.get(key) || undefined;
  const number = (key: string, offset: number, length: number): number => {
    const text = record(key);
    return text === undefined ? readNumber(block, offset, length) : parsePaxNumber(text);
  };
  const rawName = record('path') ?? longName ?? headerName(block);
  const rawLink = record('linkpath') ?? longLink ?? readText(block, 157, 100);
  const type = entryType(typeFlag, rawName);
  if (pax !== undefined) refuseSparse(pax, rawName);
  const sizeBytes = type === 'reg' ? number('size', 124, 12) : 0;
  if (sizeBytes < 0) throw malformed(`${printable(rawName)} has a negative size`);
  const mtime = record('mtime');
  const device = type === 'char' || type === 'block';
  return {
    name: normaliseName(rawName),
    type,
    linkName: type === 'symlink' ? rawLink : type === 'hardlink' ? normaliseName(rawLink) : '',
    headerOffset,
    headerSizeBytes: payloadOffset - headerOffset,
    payloadOffset,
    sizeBytes,
    mode: readNumber(block, 100, 8) & 0o7777,
    uid: number('uid', 108, 8),
    gid: number('gid', 116, 8),
    userName: record('uname') ?? (isUstar(block) ? readText(block, 265, 32) : ''),
    groupName: record('gname') ?? (isUstar(block) ? readText(block, 297, 32) : ''),
    mtime: mtime === undefined ? { sec: readNumber(block, 136, 12), nsec: 0 } : parsePaxTime(mtime),
    devMajor: device ? readNumber(block, 329, 8) : 0,
    devMinor: device ? readNumber(block, 337, 8) : 0,
    xattrs: readXattrs(pax),
  };
}

function entryType(flag: number, name: string): TarEntryType {
  switch (flag) {
    case 0x00:
      return name.endsWith('/') ? 'dir' : 'reg'; // v7 had no flag for directories
    case 0x30: // 0
    case 0x37: // 7, contiguous: an ordinary file to everyone
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
      throw unsupported(`${printable(name)} is a GNU sparse file`);
    default:
      throw unsupported(`${printable(name)} has the type flag ${JSON.stringify(String.fromCharCode(flag))}`);
  }
}

function refuseSparse(pax: ReadonlyMap<string, string>, name: string): void {
  for (const key of pax.keys()) {
    if (key.startsWith('GNU.sparse.')) throw unsupported(`${printable(name)} is a sparse file`);
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

/** POSIX magic joins `prefix` and `name`; in GNU's old format those bytes hold times, and v7 has neither. */
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
