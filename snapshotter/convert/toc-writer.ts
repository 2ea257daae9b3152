/**
 * The TOC as JSON (eStargz specification, "TOC"). Fields that are zero or empty are omitted. Names are written byte for byte,
 * even if they are not valid UTF-8.
 */
import type { TarEntry } from '../tar/tar.ts';

/** One chunk of a regular file, and the position of its member. */
export interface TocChunk {
  readonly fileOffset: number;
  readonly sizeBytes: number;
  readonly innerOffset: number;
  readonly digest: string;
  readonly offset: number;
  /** End of the member; containers/storage requires it for zstd:chunked. */
  readonly endOffset: number;
}

export interface TocRecord {
  readonly entry: Omit<TarEntry, 'headerOffset' | 'headerSizeBytes' | 'payloadOffset' | 'extents'>;
  /** Empty except for regular files with content. */
  readonly chunks: TocChunk[];
  /** Digest of the whole file; regular files only. */
  digest: string;
}

export interface TocFields {
  /** Not in CRFS. */
  readonly chunkDigests: boolean;
  readonly endOffsets: boolean;
}

export function encodeToc(records: readonly TocRecord[], fields: TocFields): Buffer {
  const pieces: Buffer[] = [];
  const userNames = new Map<number, string>();
  const groupNames = new Map<number, string>();
  let text = '{"version":1,"entries":[';
  let separator = '';
  for (const record of records) {
    for (const line of encodeRecord(record, fields, userNames, groupNames)) {
      text += separator + line;
      separator = ',\n';
    }
    if (text.length > 1 << 16) {
      pieces.push(Buffer.from(text, 'latin1'));
      text = '';
    }
  }
  pieces.push(Buffer.from(`${text}]}`, 'latin1'));
  return Buffer.concat(pieces);
}

function* encodeRecord(
  { entry, chunks, digest }: TocRecord,
  fields: TocFields,
  userNames: Map<number, string>,
  groupNames: Map<number, string>,
): Generator<string> {
  const name = quote(entry.type === 'dir' ? `${entry.name === '' ? '.' : entry.name}/` : entry.name);
  let line = `{"name":${name},"type":"${entry.type}"`;
  if (entry.sizeBytes > 0) line += `,"size":${entry.sizeBytes}`;
  const modtime = encodeTime(entry.mtime.sec, entry.mtime.nsec);
  if (modtime !== undefined) line += `,"modtime":"${modtime}"`;
  if (entry.linkName !== '') line += `,"linkName":${quote(entry.linkName)}`;
  if (entry.mode !== 0) line += `,"mode":${entry.mode}`;
  if (entry.uid !== 0) line += `,"uid":${entry.uid}`;
  if (entry.gid !== 0) line += `,"gid":${entry.gid}`;
  if (isNew(userNames, entry.uid, entry.userName)) line += `,"userName":${quote(entry.userName)}`;
  if (isNew(groupNames, entry.gid, entry.groupName)) line += `,"groupName":${quote(entry.groupName)}`;
  if (entry.devMajor !== 0) line += `,"devMajor":${entry.devMajor}`;
  if (entry.devMinor !== 0) line += `,"devMinor":${entry.devMinor}`;
  if (entry.xattrs !== undefined) line += `,"xattrs":${encodeXattrs(entry.xattrs)}`;
  if (digest !== '') line += `,"digest":"${digest}"`;
  const [first, ...others] = chunks;
  yield `${line}${first === undefined ? '' : encodeChunk(first, others.length === 0, fields)}}`;
  for (const [index, chunk] of others.entries()) {
    yield `{"name":${name},"type":"chunk"${encodeChunk(chunk, index === others.length - 1, fields)}}`;
  }
}

/** The last chunk has no chunkSize: it extends to the end of the file. */
function encodeChunk(chunk: TocChunk, isLast: boolean, fields: TocFields): string {
  let text = `,"offset":${chunk.offset}`;
  if (fields.endOffsets) text += `,"endOffset":${chunk.endOffset}`;
  if (chunk.innerOffset > 0) text += `,"innerOffset":${chunk.innerOffset}`;
  if (chunk.fileOffset > 0) text += `,"chunkOffset":${chunk.fileOffset}`;
  if (!isLast) text += `,"chunkSize":${chunk.sizeBytes}`;
  if (fields.chunkDigests) text += `,"chunkDigest":"${chunk.digest}"`;
  return text;
}

function encodeXattrs(xattrs: ReadonlyMap<string, string>): string {
  const names = [...xattrs.keys()].sort();
  return `{${names.map((name) => `${quote(name)}:"${Buffer.from(xattrs.get(name)!, 'latin1').toString('base64')}"`).join(',')}}`;
}

/** Owner names are written where they first appear or change; readers carry them forward. */
function isNew(names: Map<number, string>, id: number, name: string): boolean {
  if (name === '' || names.get(id) === name) return false;
  names.set(id, name);
  return true;
}

/** RFC 3339 in UTC, without trailing zeros in the fraction; undefined outside the years 1 to 9999. */
function encodeTime(sec: number, nsec: number): string | undefined {
  if (sec < -62_135_596_800 || sec > 253_402_300_799) return undefined;
  const whole = new Date(sec * 1000).toISOString().slice(0, 19);
  const fraction = nsec === 0 ? '' : `.${String(nsec).padStart(9, '0').replace(/0+$/, '')}`;
  return `${whole}${fraction}Z`;
}

/** JSON string of a Latin-1 string: only quotes, backslashes and control characters need escapes. */
function quote(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes exactly these
  if (!/["\\\u0000-\u001f]/.test(text)) return `"${text}"`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes exactly these
  const escaped = text.replace(/["\\\u0000-\u001f]/g, (c) =>
    c === '"' || c === '\\' ? `\\${c}` : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `"${escaped}"`;
}
