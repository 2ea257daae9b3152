/**
 * The tar headers that the converter writes itself: landmarks, the TOC, and entries whose source header no longer fits
 * (POSIX ustar, preceded by a pax header for what ustar cannot hold).
 */
import { maxExtensionSizeBytes, printable, type TarEntry } from './tar.ts';
import { blockSizeBytes, malformed, roundUpToBlock } from './tar-fields.ts';

/** Defaults for an entry that is not in the source tar: an empty file, owned by root and dated 1970. */
export const emptyFile: Omit<TarEntry, 'name'> = {
  type: 'reg',
  linkName: '',
  headerOffset: 0,
  headerSizeBytes: 0,
  payloadOffset: 0,
  sizeBytes: 0,
  extents: undefined,
  mode: 0o644,
  uid: 0,
  gid: 0,
  userName: '',
  groupName: '',
  mtime: { sec: 0, nsec: 0 },
  devMajor: 0,
  devMinor: 0,
  xattrs: undefined,
};

/** One header block of a root-owned regular file dated 1970. */
export function encodeFileHeader(name: string, sizeBytes: number): Buffer {
  return encodeBlock({ ...emptyFields, name, sizeBytes });
}

/** Header, payload, padding. */
export function encodeFile(name: string, payload: Uint8Array): Buffer {
  const file = Buffer.alloc(blockSizeBytes + roundUpToBlock(payload.length));
  encodeFileHeader(name, payload.length).copy(file);
  file.set(payload, blockSizeBytes);
  return file;
}

/** Two zero blocks end an archive. */
export const endOfArchive: Buffer = Buffer.alloc(2 * blockSizeBytes);

/** The header blocks of any entry; the caller writes its content. */
export function encodeEntryHeader(entry: TarEntry): Buffer {
  const { mtime } = entry;
  const name = entry.type === 'dir' ? `${entry.name || '.'}/` : entry.name;
  const records: [string, string][] = [];
  const take = <Value extends string | number>(key: string, value: Value, fits: boolean, instead: Value): Value => {
    if (fits) return value;
    records.push([key, String(value)]);
    return instead;
  };
  const takeText = (key: string, text: string, room: number): string =>
    take(key, text, text.length <= room, text.slice(0, room));
  const takeNumber = (key: string, value: number, limit: number): number =>
    take(key, value, value >= 0 && value < limit, 0);
  const fields: BlockFields = {
    // Truncated after a slash, a file's name would look like a directory's to readers that ignore pax.
    name: takeText('path', name, 100).replace(entry.type === 'dir' ? '' : /\/+$/, ''),
    linkName: takeText('linkpath', entry.linkName, 100),
    typeFlag: typeFlags[entry.type],
    mode: entry.mode,
    uid: takeNumber('uid', entry.uid, 0o10000000),
    gid: takeNumber('gid', entry.gid, 0o10000000),
    sizeBytes: takeNumber('size', entry.sizeBytes, 0o100000000000),
    mtimeSec: mtime.sec,
    userName: takeText('uname', entry.userName, 32),
    groupName: takeText('gname', entry.groupName, 32),
    devMajor: entry.devMajor,
    devMinor: entry.devMinor,
  };
  if (mtime.nsec !== 0 || mtime.sec < 0 || mtime.sec >= 0o100000000000) records.push(['mtime', paxTime(mtime)]);
  for (const [key, value] of entry.xattrs ?? []) records.push([`SCHILY.xattr.${key}`, value]);
  if (records.length === 0) return encodeBlock(fields);
  const pax = Buffer.concat(records.map(encodePaxRecord));
  if (pax.length > maxExtensionSizeBytes) throw malformed(`${printable(entry.name)} has more than 1 MiB of attributes`);
  const paxBlock = encodeBlock({ ...emptyFields, name: 'PaxHeaders/entry', typeFlag: 'x', sizeBytes: pax.length });
  const padding = Buffer.alloc(roundUpToBlock(pax.length) - pax.length);
  return Buffer.concat([paxBlock, pax, padding, encodeBlock(fields)]);
}

const typeFlags = { reg: '0', hardlink: '1', symlink: '2', char: '3', block: '4', dir: '5', fifo: '6' } as const;

interface BlockFields {
  readonly name: string;
  readonly linkName: string;
  readonly typeFlag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeSec: number;
  readonly userName: string;
  readonly groupName: string;
  readonly devMajor: number;
  readonly devMinor: number;
}

const emptyFields: BlockFields = {
  name: '',
  linkName: '',
  typeFlag: '0',
  mode: 0o644,
  uid: 0,
  gid: 0,
  sizeBytes: 0,
  mtimeSec: 0,
  userName: '',
  groupName: '',
  devMajor: 0,
  devMinor: 0,
};

function encodeBlock(fields: BlockFields): Buffer {
  const block = Buffer.alloc(blockSizeBytes);
  block.write(fields.name, 0, 100, 'latin1');
  block.write(octal(fields.mode, 7), 100, 'latin1');
  block.write(octal(fields.uid, 7), 108, 'latin1');
  block.write(octal(fields.gid, 7), 116, 'latin1');
  block.write(octal(fields.sizeBytes, 11), 124, 'latin1');
  block.write(octal(Math.min(Math.max(fields.mtimeSec, 0), 0o77777777777), 11), 136, 'latin1');
  block.write('        ', 148, 'latin1');
  block.write(fields.typeFlag, 156, 'latin1');
  block.write(fields.linkName, 157, 100, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.write(fields.userName, 265, 32, 'latin1');
  block.write(fields.groupName, 297, 32, 'latin1');
  if (fields.typeFlag === typeFlags.char || fields.typeFlag === typeFlags.block) {
    writeDeviceNumber(block, fields.devMajor, 329);
    writeDeviceNumber(block, fields.devMinor, 337);
  }
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${octal(sum, 6)}\0 `, 148, 'latin1');
  return block;
}

/** Octal, or GNU base-256 beyond seven digits: pax has no record for device numbers. */
function writeDeviceNumber(block: Buffer, value: number, offset: number): void {
  if (value < 0o10000000) {
    block.write(octal(value, 7), offset, 'latin1');
    return;
  }
  block[offset] = 0x80;
  block.writeUIntBE(value, offset + 2, 6);
}

/** The length counts its own digits. */
function encodePaxRecord([key, value]: readonly [string, string]): Buffer {
  const body = ` ${key}=${value}\n`;
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length++;
  return Buffer.from(`${length}${body}`, 'latin1');
}

function paxTime({ sec, nsec }: TarEntry['mtime']): string {
  const negative = sec < 0;
  const whole = negative && nsec > 0 ? -(sec + 1) : Math.abs(sec);
  const fraction = negative && nsec > 0 ? 1_000_000_000 - nsec : nsec;
  const text = fraction === 0 ? '' : `.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`;
  return `${negative ? '-' : ''}${whole}${text}`;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}
