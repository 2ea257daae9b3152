import { gzipSync } from 'node:zlib';
import { encodeFooter, type Footer, parseFooter } from '../estargz/footer.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import { tarHeader } from '../rehearsal/tar.ts';

export interface LargeToc {
  /** The blob's end: the TOC's gzip member and the footer. */
  readonly tail: Buffer;
  readonly blobSizeBytes: number;
  readonly footer: Footer;
  /** The gzip member alone. */
  readonly toc: Buffer;
  readonly tocDigest: Digest;
}

const filesPerDirectory = 11;
/** Behind all content that the TOC places. */
const tocOffset = 2 ** 36;

/** The TOC of a layer of `entryCount` entries; its content exists nowhere. */
export function makeLargeToc(entryCount: number): LargeToc {
  const json = generateToc(entryCount);
  const toc = gzipSync(Buffer.concat([tarHeader('stargz.index.json', json.length), json]), { level: 1 });
  const tail = Buffer.concat([toc, encodeFooter('estargz', tocOffset)]);
  const blobSizeBytes = tocOffset + tail.length;
  return { tail, blobSizeBytes, toc, footer: parseFooter(tail, blobSizeBytes)!, tocDigest: digestOf(json) };
}

/** The JSON of a TOC of `entryCount` entries, indented as the reference writes it: directories of 11 files each. */
export function generateToc(entryCount: number): Buffer {
  const entries: object[] = [];
  let offset = 1000;
  for (let directory = 0; entries.length < entryCount; directory++) {
    entries.push({ name: `${directoryName(directory)}/`, type: 'dir', modtime: '2023-01-29T14:05:11Z', mode: 0o755 });
    for (let file = 0; file < filesPerDirectory && entries.length < entryCount; file++) {
      const size = 500 + (((directory * 131 + file) * 7919) % 60_000);
      const digest = digestOf(`${directory}/${file}`);
      const name = `${directoryName(directory)}/${fileName(file)}`;
      entries.push({
        name,
        type: 'reg',
        size,
        modtime: '2023-01-29T14:05:11Z',
        mode: 0o644,
        offset,
        digest,
        chunkDigest: digest,
      });
      offset += 300 + (size >> 2);
    }
  }
  return Buffer.from(JSON.stringify({ version: 1, entries }, null, '\t'));
}

export function directoryName(index: number): string {
  return `usr/lib/python3/dist-packages/package_${index % 97}/module_${index}`;
}

export function fileName(index: number): string {
  return `file_number_${index}.cpython-311.pyc`;
}
