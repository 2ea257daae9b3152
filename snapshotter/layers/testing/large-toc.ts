import { gzipSync } from 'node:zlib';
import { encodeFooter, type Footer, parseFooter } from '../../estargz/footer.ts';
import { type Digest, digestOf } from '../../registry/digest.ts';
import { generateToc } from '../../tree/toc.bench.ts';

export interface LargeToc {
  /** The blob's end: the TOC's gzip member and the footer. */
  readonly tail: Buffer;
  readonly blobSizeBytes: number;
  readonly footer: Footer;
  /** The gzip member alone. */
  readonly toc: Buffer;
  readonly tocDigest: Digest;
}

/** Behind all content that the TOC places. */
const tocOffset = 2 ** 36;

/** The TOC of a layer of `entryCount` entries; its content exists nowhere. */
export function makeLargeToc(entryCount: number): LargeToc {
  const json = generateToc(entryCount);
  const toc = gzipSync(Buffer.concat([tarHeader(json.length), json]), { level: 1 });
  const tail = Buffer.concat([toc, encodeFooter('estargz', tocOffset)]);
  const blobSizeBytes = tocOffset + tail.length;
  return { tail, blobSizeBytes, toc, footer: parseFooter(tail, blobSizeBytes)!, tocDigest: digestOf(json) };
}

function tarHeader(sizeBytes: number): Buffer {
  const block = Buffer.alloc(512);
  block.write('stargz.index.json', 0, 'latin1');
  block.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  block.write('        0', 148, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
