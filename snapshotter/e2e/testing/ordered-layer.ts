import { gzipSync } from 'node:zlib';
import { encodeFooter } from '../../estargz/footer.ts';
import { TOC_NAME } from '../../estargz/names.ts';
import { type Digest, digestOf } from '../../registry/digest.ts';

/** An entry of a tar, with nothing that goes without saying. Names and values are Latin-1: a byte a character. */
export interface TarEntry {
  readonly name: string;
  readonly type: 'dir' | 'reg' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** RFC 3339. */
  readonly modtime?: string;
  readonly linkName?: string;
  readonly content?: string;
  readonly devMajor?: number;
  readonly devMinor?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
}

export interface OrderedLayer {
  readonly blob: Buffer;
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly tocDigest: Digest;
}

const typeFlags = { reg: '0', hardlink: '1', symlink: '2', char: '3', block: '4', dir: '5', fifo: '6' } as const;
const defaultTime = '2001-09-09T01:46:40Z';

/**
 * An eStargz layer of these entries in this order: what containerd unpacks and what a lazy mount reads say the same,
 * whatever no converter would write. A gzip member for each file's content, one for the headers between two.
 */
export function buildOrderedLayer(entries: readonly TarEntry[]): OrderedLayer {
  const members: Buffer[] = [];
  const tar: Buffer[] = [];
  const toc: object[] = [];
  let blobBytes = 0;
  let headers: Buffer[] = [];
  const put = (raw: Buffer): void => {
    const member = gzipSync(raw, { level: 1 });
    members.push(member);
    tar.push(raw);
    blobBytes += member.length;
  };
  const putHeaders = (): void => {
    put(Buffer.concat(headers));
    headers = [];
  };
  for (const entry of entries) {
    const { name, type, mode = type === 'dir' ? 0o755 : 0o644, uid = 0, gid = 0, modtime = defaultTime } = entry;
    const { linkName = '', devMajor = 0, devMinor = 0, xattrs = {} } = entry;
    const content = Buffer.from(type === 'reg' ? (entry.content ?? '') : '', 'latin1');
    headers.push(encodeHeaders({ ...entry, mode, uid, gid, modtime }, content.length));
    const encoded = Object.entries(xattrs).map(([key, value]) => [
      key,
      Buffer.from(value, 'latin1').toString('base64'),
    ]);
    const fields = {
      name,
      type,
      mode,
      uid,
      gid,
      modtime,
      linkName,
      devMajor,
      devMinor,
      xattrs: Object.fromEntries(encoded),
    };
    if (content.length === 0) {
      toc.push(fields);
      continue;
    }
    putHeaders();
    const digest = digestOf(content);
    toc.push({ ...fields, size: content.length, offset: blobBytes, digest, chunkDigest: digest });
    put(content);
    headers.push(padding(content.length));
  }
  putHeaders();
  // Names of any bytes: the JSON goes out as the bytes they are.
  const json = Buffer.from(JSON.stringify({ version: 1, entries: toc }), 'latin1');
  const tocOffset = blobBytes;
  const tocHeader = encodeBlock(TOC_NAME, typeFlags.reg, 0o444, json.length, '', 0, 0);
  put(Buffer.concat([tocHeader, json, padding(json.length), Buffer.alloc(1024)]));
  members.push(encodeFooter('estargz', tocOffset));
  const blob = Buffer.concat(members);
  return { blob, digest: digestOf(blob), diffId: digestOf(Buffer.concat(tar)), tocDigest: digestOf(json) };
}

type WholeEntry = TarEntry & Required<Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'modtime'>>;

/** A pax header for what a ustar header cannot say, and the ustar header. */
function encodeHeaders(entry: WholeEntry, sizeBytes: number): Buffer {
  const { name, type, mode, uid, gid, modtime, linkName = '', devMajor = 0, devMinor = 0, xattrs = {} } = entry;
  const ms = Date.parse(modtime);
  const fraction = /\.(\d+)/.exec(modtime)?.[1] ?? '';
  const sec = Math.floor(ms / 1000);
  // pax writes the whole number below, and adds the fraction: -0.75 is -1 and .25.
  const exact =
    sec < 0 && fraction !== ''
      ? String(sec + Number(`0.${fraction}`))
      : `${sec}${fraction === '' ? '' : `.${fraction}`}`;
  const records: [string, string][] = [
    ['path', name],
    ['mtime', exact],
    ['uid', String(uid)],
    ['gid', String(gid)],
    ...(linkName === '' ? [] : [['linkpath', linkName] as [string, string]]),
    ...Object.entries(xattrs).map(([key, value]): [string, string] => [`SCHILY.xattr.${key}`, value]),
  ];
  const pax = Buffer.concat(records.map(([key, value]) => encodeRecord(key, value)));
  return Buffer.concat([
    encodeBlock('pax', 'x', 0o644, pax.length, '', 0, 0),
    pax,
    padding(pax.length),
    encodeBlock('entry', typeFlags[type], mode, sizeBytes, 'link', devMajor, devMinor),
  ]);
}

function encodeRecord(key: string, value: string): Buffer {
  const text = Buffer.from(` ${key}=${value}\n`, 'latin1');
  let length = text.length + 1;
  while (String(length).length + text.length !== length) length = String(length).length + text.length;
  return Buffer.concat([Buffer.from(String(length)), text]);
}

function encodeBlock(
  name: string,
  typeFlag: string,
  mode: number,
  sizeBytes: number,
  linkName: string,
  devMajor: number,
  devMinor: number,
): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, at: number, digits: number): void =>
    void block.write(`${value.toString(8).padStart(digits, '0')}\0`, at, 'latin1');
  block.write(name, 0, 'latin1');
  octal(mode, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(sizeBytes, 124, 11);
  octal(0, 136, 11);
  block.write('        ', 148, 'latin1');
  block.write(typeFlag, 156, 'latin1');
  block.write(linkName, 157, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  octal(devMajor, 329, 7);
  octal(devMinor, 337, 7);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function padding(sizeBytes: number): Buffer {
  return Buffer.alloc((512 - (sizeBytes % 512)) % 512);
}
