import { gzipSync } from 'node:zlib';
import { encodeFooter, type Footer, parseFooter } from '../../estargz/footer.ts';
import { wrapPackedToc } from '../../estargz/packed-toc.ts';
import { type Digest, digestOf } from '../../registry/digest.ts';
import { buildInodeTable } from '../../tree/build.ts';
import { packTree } from '../../tree/pack.ts';

export interface TestFile {
  readonly name: string;
  readonly content: Buffer;
  /** Default: 0o644. */
  readonly mode?: number;
}

export interface TestMember {
  readonly name: string;
  readonly offset: number;
  readonly end: number;
  readonly chunkOffset: number;
  readonly chunk: Buffer;
}

export interface TestBlob {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly toc: Buffer;
  readonly tocDigest: Digest;
  readonly footer: Footer;
  readonly members: readonly TestMember[];
  /** 0 without one. */
  readonly packedTocBytes: number;
  readonly packedTocDigest: Digest | undefined;
}

export interface TestBlobOptions {
  readonly chunkSizeBytes?: number;
  readonly kind?: 'estargz' | 'stargz';
  /** Number of files before the prefetch landmark. */
  readonly prefetched?: number;
  /** Leave out digests, as the oldest stargz writers did. */
  readonly withoutDigests?: boolean;
  /** Further entries of the TOC, before all others: directories, whiteouts. */
  readonly entries?: readonly object[];
  /** The files' directories get no entries. */
  readonly impliesDirectories?: boolean;
  /** With a packed TOC. */
  readonly isPacked?: boolean;
  /** Damages its header after its digest was taken. */
  readonly damagePackedToc?: boolean;
  /** Damages the payload of this member after its digest was taken. */
  readonly damage?: (member: TestMember) => boolean;
}

/**
 * The smallest writer that makes a real (e)stargz layer: a gzip member per chunk, tar headers at the tail of the member
 * before, the TOC, the footer. For tests of the readers only; convert/ has the writer for users.
 */
export function buildTestBlob(files: readonly TestFile[], options: TestBlobOptions = {}): TestBlob {
  const chunkSizeBytes = options.chunkSizeBytes ?? 4 * 1024 * 1024;
  const parts: Buffer[] = [];
  const directories = new Set(
    files.flatMap(({ name }) =>
      name
        .split('/')
        .slice(0, -1)
        .map((_, at, all) => all.slice(0, at + 1).join('/')),
    ),
  );
  const entries: object[] = [
    ...(options.entries ?? []),
    ...(options.impliesDirectories === true
      ? []
      : [...directories].map((name) => ({ name: `${name}/`, type: 'dir', mode: 0o755 }))),
  ];
  const members: TestMember[] = [];
  let offset = 0;
  let pending: Buffer = Buffer.alloc(0);
  const put = (raw: Buffer): number => {
    const compressed = gzipSync(raw, { level: 1 });
    parts.push(compressed);
    offset += compressed.length;
    return offset;
  };
  const all = files.map((file) => ({ ...file, mode: file.mode ?? 0o644 }));
  if (options.prefetched !== undefined) {
    all.splice(options.prefetched, 0, { name: '.prefetch.landmark', content: Buffer.from([0x0f]), mode: 0o644 });
  }
  const digestField = (key: string, bytes: Buffer): Record<string, string> =>
    options.withoutDigests ? {} : { [key]: digestOf(bytes) };
  const first = all[0];
  offset = put(tarHeader(first?.name ?? 'empty', first?.content.length ?? 0));
  all.forEach((file, at) => {
    const next = all[at + 1];
    const chunks = slices(file.content, chunkSizeBytes);
    chunks.forEach((chunk, number) => {
      const isLast = number === chunks.length - 1;
      pending = isLast
        ? Buffer.concat([
            padding(file.content.length),
            next ? tarHeader(next.name, next.content.length) : Buffer.alloc(1024),
          ])
        : Buffer.alloc(0);
      const member: TestMember = { name: file.name, offset, end: 0, chunkOffset: number * chunkSizeBytes, chunk };
      const stored = Buffer.from(chunk);
      if (options.damage?.(member)) stored[0]! ^= 0xff;
      const end = put(Buffer.concat([stored, pending]));
      members.push({ ...member, end });
      entries.push({
        name: file.name,
        type: number === 0 ? 'reg' : 'chunk',
        ...(number === 0
          ? {
              size: file.content.length,
              mode: file.mode,
              modtime: '2024-01-02T03:04:05Z',
              ...digestField('digest', file.content),
            }
          : {}),
        offset: member.offset,
        ...(number === 0 ? {} : { chunkOffset: member.chunkOffset }),
        ...(chunks.length > 1 ? { chunkSize: chunk.length } : {}),
        ...digestField('chunkDigest', chunk),
      });
    });
  });
  const toc = Buffer.from(JSON.stringify({ version: 1, entries }));
  const tocOffset = offset;
  put(Buffer.concat([tarHeader('stargz.index.json', toc.length), toc, padding(toc.length), Buffer.alloc(1024)]));
  const packed = options.isPacked === true ? packedToc(toc, tocOffset) : Buffer.alloc(0);
  const packedTocDigest = options.isPacked === true ? digestOf(packed) : undefined;
  if (options.damagePackedToc === true) packed[40]! ^= 0xff;
  parts.push(packed, encodeFooter(options.kind ?? 'estargz', tocOffset));
  const bytes = Buffer.concat(parts);
  const footer = parseFooter(bytes, bytes.length)!;
  const packedTocBytes = packed.length;
  return {
    bytes,
    digest: digestOf(bytes),
    toc,
    tocDigest: digestOf(toc),
    footer,
    members,
    packedTocBytes,
    packedTocDigest,
  };
}

function packedToc(toc: Buffer, payloadEnd: number): Buffer {
  const tree = buildInodeTable(toc, { payloadEnd, opaqueXattr: 'trusted' });
  return wrapPackedToc(packTree(tree, digestOf(toc), payloadEnd)!, 'gzip');
}

/** Bytes that look like nothing in particular but are the same every time. */
export function pseudoRandomBytes(sizeBytes: number, seed: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let at = 0; at < sizeBytes; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = (state >>> 24) & (at % 3 === 0 ? 0xff : 0x0f);
  }
  return bytes;
}

function slices(content: Buffer, sizeBytes: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < content.length; at += sizeBytes) pieces.push(content.subarray(at, at + sizeBytes));
  return pieces;
}

function padding(sizeBytes: number): Buffer {
  return Buffer.alloc((512 - (sizeBytes % 512)) % 512);
}

function tarHeader(name: string, sizeBytes: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0, 'utf8');
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124);
  header.write('14544766005\0', 136);
  header.write('        0', 148);
  header.write('ustar\x0000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
