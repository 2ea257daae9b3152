/** The packed TOC of a converted layer. */
import { FormatError } from '../estargz/error.ts';
import { PACKED_TOC_LABEL } from '../estargz/names.ts';
import { wrapPackedToc } from '../estargz/packed-toc.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import { buildInodeTable } from '../tree/build.ts';
import { packTree } from '../tree/pack.ts';
import type { MemberCodec } from './compress.ts';

/** To be placed between the TOC and the footer. */
export interface PackedToc {
  /** Empty for a layer that has none. */
  readonly section: Buffer;
  readonly annotations: Readonly<Record<string, string>>;
}

const none: PackedToc = { section: Buffer.alloc(0), annotations: {} };

/** `payloadEnd`: of the blob's footer. */
export function packToc(toc: Buffer, tocDigest: Digest, codec: MemberCodec, payloadEnd: number): PackedToc {
  const content = pack(toc, tocDigest, codec, payloadEnd);
  if (content === undefined) return none;
  const section = wrapPackedToc(content, codec);
  return { section, annotations: { [PACKED_TOC_LABEL]: digestOf(section) } };
}

/** Undefined for a layer that a daemon would leave to containerd to unpack, too. */
function pack(toc: Buffer, tocDigest: Digest, codec: MemberCodec, payloadEnd: number): Buffer | undefined {
  try {
    const tree = buildInodeTable(toc, { payloadEnd, compression: codec, opaqueXattr: 'trusted' });
    return packTree(tree, tocDigest, payloadEnd);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
