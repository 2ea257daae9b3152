/** Reads a converted blob as a lazy reader does: footer, TOC, and each file chunk by chunk, verified. */
import { readFileSync } from 'node:fs';
import { FOOTER_MAX, type Footer, parseFooter } from '../../estargz/footer.ts';
import { inflateMember } from '../../estargz/member.ts';
import { readWholeToc } from '../../estargz/toc.ts';
import { type Digest, digestOf } from '../../registry/digest.ts';

export interface JsonEntry {
  readonly name: string;
  readonly type: string;
  readonly size?: number;
  readonly modtime?: string;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly userName?: string;
  readonly groupName?: string;
  readonly devMajor?: number;
  readonly devMinor?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly digest?: string;
  readonly offset?: number;
  readonly endOffset?: number;
  readonly innerOffset?: number;
  readonly chunkOffset?: number;
  readonly chunkSize?: number;
  readonly chunkDigest?: string;
}

export interface LazyBlob {
  readonly footer: Footer;
  readonly tocDigest: Digest;
  readonly entries: readonly JsonEntry[];
  /** The content of a file, through hard links. Throws if a digest does not match. */
  read(name: string): Buffer;
}

export function openLazyBlob(path: string): LazyBlob {
  const blob = readFileSync(path);
  const footer = parseFooter(blob.subarray(-FOOTER_MAX), blob.length);
  if (footer === undefined) throw new Error(`${path} has no footer`);
  const json = readWholeToc(blob.subarray(footer.tocOffset, footer.tocEnd), footer);
  const { entries } = JSON.parse(json.toString('utf8')) as { entries: JsonEntry[] };
  const starts = entries.flatMap(({ offset, innerOffset }) => (offset && !innerOffset ? [offset] : []));
  const memberEnd = (offset: number): number =>
    Math.min(footer.payloadEnd, ...starts.filter((start) => start > offset));

  const read = (name: string): Buffer => {
    const file = entries.find((entry) => isNamed(entry, name) && entry.type !== 'chunk');
    if (file?.type === 'hardlink') return read(file.linkName!.replace(/^\.\//, ''));
    if (file?.type !== 'reg') throw new Error(`the TOC has no file ${name}`);
    const chunks = entries.filter((entry) => isNamed(entry, name) && entry.offset !== undefined);
    const content = Buffer.concat(
      chunks.map((chunk) => {
        const inner = chunk.innerOffset ?? 0;
        const sizeBytes = chunk.chunkSize ?? file.size! - (chunk.chunkOffset ?? 0);
        const member = blob.subarray(chunk.offset!, memberEnd(chunk.offset!));
        const bytes = inflateMember(member, footer.compression, inner + sizeBytes).subarray(inner);
        if (chunk.chunkDigest !== undefined && digestOf(bytes) !== chunk.chunkDigest) {
          throw new Error(`chunk of ${name} at ${chunk.chunkOffset ?? 0} has another digest`);
        }
        return bytes;
      }),
    );
    if (digestOf(content) !== file.digest) throw new Error(`${name} has another digest`);
    return content;
  };
  return { footer, tocDigest: digestOf(json), entries, read };
}

/** The reference implementation keeps the tar's `./` before names. */
function isNamed(entry: JsonEntry, name: string): boolean {
  return entry.name === name || entry.name === `./${name}`;
}
