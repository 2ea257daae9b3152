/** A layer's entries as the bytes of a tar: POSIX ustar headers, PAX records or GNU headers for what does not fit. */
import { promisify } from 'node:util';
import { gzip, zstdCompress } from 'node:zlib';
import { mediaTypes } from '../../../snapshotter/registry/manifest.ts';
import { type Compression, defaultMtime, type EntryType, type StackEntry, type StackLayer } from './stack.ts';

const blockBytes = 512;

export function encodeTar(layer: StackLayer): Buffer {
  return Buffer.concat([...layer.entries.flatMap(encodeEntry), Buffer.alloc(2 * blockBytes)]);
}

export interface CompressedLayer {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

export async function compressTar(tar: Buffer, compression: Compression): Promise<CompressedLayer> {
  switch (compression) {
    case 'plain':
      return { mediaType: mediaTypes.ociLayer, bytes: tar };
    case 'gzip':
      return { mediaType: mediaTypes.ociLayerGzip, bytes: await promisify(gzip)(tar, { level: 1 }) };
    case 'multi-gzip': {
      // Cut off block boundaries: a member need not end where an entry does.
      const cut = Math.floor(tar.length / 3) + 7;
      const parts = [tar.subarray(0, cut), tar.subarray(cut, 2 * cut), tar.subarray(2 * cut)];
      const members = await Promise.all(parts.map((part) => promisify(gzip)(part, { level: 1 })));
      return { mediaType: mediaTypes.ociLayerGzip, bytes: Buffer.concat(members) };
    }
    case 'zstd':
      return { mediaType: mediaTypes.ociLayerZstd, bytes: await promisify(zstdCompress)(tar) };
  }
}

const typeFlags: Readonly<Record<EntryType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  dir: '5',
  fifo: '6',
  contiguous: '7',
};

function encodeEntry(entry: StackEntry): Buffer[] {
  const content = contentOf(entry);
  const records: [key: string, value: string][] = [];
  const before: Buffer[] = [];
  let payload = content;
  let name = entry.name;
  if (entry.sparse !== undefined) {
    payload = sparsePayload(entry, content, records);
    name = `GNUSparseFile.0/${entry.name}`;
  }
  const gnu = entry.isGnu === true;
  if (name.length > 100) {
    if (gnu) before.push(...encodeGnuText('L', name));
    else records.push(['path', name]);
  }
  const link = entry.link ?? '';
  if (link.length > 100) {
    if (gnu) before.push(...encodeGnuText('K', link));
    else records.push(['linkpath', link]);
  }
  const { uid = 0, gid = 0, mtime = defaultMtime } = entry;
  if (!gnu && uid > maxOctal(7)) records.push(['uid', String(uid)]);
  if (!gnu && gid > maxOctal(7)) records.push(['gid', String(gid)]);
  if (!/^\d+$/.test(mtime) || Number(mtime) > maxOctal(11)) records.push(['mtime', mtime]);
  for (const [key, value] of Object.entries(entry.xattrs ?? {})) records.push([`SCHILY.xattr.${key}`, value]);
  if (records.length > 0) before.unshift(...encodePax(records));
  const [major, minor] = entry.device ?? [0, 0];
  const header = encodeHeader({
    name: name.slice(0, 100),
    link: link.slice(0, 100),
    flag: typeFlags[entry.type],
    mode: entry.mode ?? (entry.type === 'dir' ? 0o755 : 0o644),
    uid,
    gid,
    sizeBytes: payload.length,
    mtimeSec: Math.floor(Number(mtime)),
    major,
    minor,
    gnu,
  });
  return [...before, header, ...padded(payload)];
}

/** What a reader of the file sees. */
export function contentOf({ type, content = '', sizeBytes }: StackEntry): Buffer {
  if (type !== 'file' && type !== 'contiguous') return Buffer.alloc(0);
  const pattern = Buffer.from(content, 'latin1');
  const length = sizeBytes ?? pattern.length;
  return pattern.length === 0 ? Buffer.alloc(length) : Buffer.alloc(length, pattern);
}

/** The data of the two outer thirds; what stood between them is cleared in `content` too, since readers see zeros. */
function sparsePayload(entry: StackEntry, content: Buffer, records: [string, string][]): Buffer {
  const third = Math.floor(content.length / 3);
  content.fill(0, third, content.length - third);
  const map: readonly (readonly [offset: number, length: number])[] = [
    [0, third],
    [content.length - third, third],
  ];
  const data = Buffer.concat(map.map(([offset, length]) => content.subarray(offset, offset + length)));
  const version = entry.sparse;
  if (version === '1.0') {
    records.push(['GNU.sparse.major', '1'], ['GNU.sparse.minor', '0'], ['GNU.sparse.name', entry.name]);
    records.push(['GNU.sparse.realsize', String(content.length)]);
    const text = Buffer.from(`${map.length}\n${map.flat().join('\n')}\n`);
    return Buffer.concat([...padded(text), data]);
  }
  records.push(['GNU.sparse.size', String(content.length)], ['GNU.sparse.numblocks', String(map.length)]);
  if (version === '0.1') {
    records.push(['GNU.sparse.name', entry.name], ['GNU.sparse.map', map.flat().join(',')]);
  } else {
    records.push(['path', entry.name]);
    for (const [offset, length] of map) {
      records.push(['GNU.sparse.offset', String(offset)], ['GNU.sparse.numbytes', String(length)]);
    }
  }
  return data;
}

function encodePax(records: readonly (readonly [key: string, value: string])[]): Buffer[] {
  const payload = Buffer.concat(records.map(([key, value]) => encodeRecord(key, value)));
  return [extensionHeader('x', 'PaxHeaders/0', payload.length), ...padded(payload)];
}

/** `"<length> <key>=<value>\n"`, the length counting itself. */
function encodeRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`, 'latin1');
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length++;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function encodeGnuText(flag: 'L' | 'K', text: string): Buffer[] {
  const payload = Buffer.from(`${text}\0`, 'latin1');
  return [extensionHeader(flag, '././@LongLink', payload.length), ...padded(payload)];
}

function extensionHeader(flag: string, name: string, sizeBytes: number): Buffer {
  const gnu = flag !== 'x';
  const numbers = { mode: 0o644, uid: 0, gid: 0, sizeBytes, mtimeSec: 0, major: 0, minor: 0 };
  return encodeHeader({ name, link: '', flag, gnu, ...numbers });
}

interface Header {
  readonly name: string;
  readonly link: string;
  readonly flag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeSec: number;
  readonly major: number;
  readonly minor: number;
  readonly gnu: boolean;
}

function encodeHeader(header: Header): Buffer {
  const block = Buffer.alloc(blockBytes);
  const { gnu } = header;
  block.write(header.name, 0, 100, 'latin1');
  writeNumber(block, 100, 8, header.mode, gnu);
  writeNumber(block, 108, 8, header.uid, gnu);
  writeNumber(block, 116, 8, header.gid, gnu);
  writeNumber(block, 124, 12, header.sizeBytes, gnu);
  writeNumber(block, 136, 12, header.mtimeSec, gnu);
  block.write('        ', 148, 'latin1');
  block.write(header.flag, 156, 'latin1');
  block.write(header.link, 157, 100, 'latin1');
  block.write(gnu ? 'ustar  \0' : 'ustar\x0000', 257, 'latin1');
  writeNumber(block, 329, 8, header.major, gnu);
  writeNumber(block, 337, 8, header.minor, gnu);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function maxOctal(digits: number): number {
  return 8 ** digits - 1;
}

/** Octal where it fits, else base-256 in GNU's format; PAX has said the number already, so the field is zero there. */
function writeNumber(block: Buffer, offset: number, length: number, value: number, gnu: boolean): void {
  if (value >= 0 && value <= maxOctal(length - 1)) {
    block.write(value.toString(8).padStart(length - 1, '0'), offset, 'latin1');
    return;
  }
  if (!gnu) {
    block.write('0'.repeat(length - 1), offset, 'latin1');
    return;
  }
  let rest = BigInt(value);
  for (let at = offset + length - 1; at >= offset; at--, rest >>= 8n) block[at] = Number(rest & 0xffn);
  block[offset] = value < 0 ? 0xff : block[offset]! | 0x80;
}

function padded(payload: Buffer): Buffer[] {
  return [payload, Buffer.alloc((blockBytes - (payload.length % blockBytes)) % blockBytes)];
}
