/** The packed TOC of a layer: whether it is the promised one, and says what the TOC says. */
import { FormatError } from '../estargz/error.ts';
import type { Footer } from '../estargz/footer.ts';
import { PACKED_TOC_LABEL, PACKED_TOC_SIZES_LABEL } from '../estargz/names.ts';
import { packedTocRange, unwrapPackedToc } from '../estargz/packed-toc.ts';
import { parseSizes } from '../estargz/size-list.ts';
import { readWholeToc } from '../estargz/toc.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import { type BuiltTree, buildInodeTable } from '../tree/build.ts';
import { packTree } from '../tree/pack.ts';
import { unpackTree } from '../tree/unpack.ts';

export interface PackedTocSummary {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

export interface LayerWithPackedToc {
  readonly annotations: Readonly<Record<string, string>>;
  readonly footer: Footer;
  readonly blobSizeBytes: number;
  /** [footer.tocOffset, footer.tocEnd) of the blob. */
  readonly toc: Buffer;
  readonly tocDigest: Digest;
}

/** Null without one. Adds what is wrong with it to `problems`: a daemon then takes the TOC. */
export async function inspectPackedToc(
  layer: LayerWithPackedToc,
  read: (start: number, end: number) => Promise<Buffer>,
  problems: string[],
): Promise<PackedTocSummary | null> {
  const { annotations, footer, blobSizeBytes } = layer;
  const annotatedDigest = annotations[PACKED_TOC_LABEL];
  if (annotatedDigest === undefined) return null;
  const sizeBytes = parseSizes(annotations[PACKED_TOC_SIZES_LABEL] ?? '')?.[0] ?? 0;
  const range = packedTocRange(footer, blobSizeBytes, sizeBytes);
  if (range === undefined) {
    problems.push(`no room for a packed TOC of ${sizeBytes} bytes, as the manifest says`);
    return null;
  }
  const section = await read(range.start, range.end);
  const digest = digestOf(section);
  if (digest !== annotatedDigest)
    problems.push(`the packed TOC is ${digest}, not ${annotatedDigest} as the manifest says`);
  else if (!isOfToc(section, layer, problems)) problems.push('the packed TOC has another tree than the TOC');
  return { digest, sizeBytes };
}

/** True also if it cannot be read, which is a problem of its own. */
function isOfToc(section: Buffer, { footer, toc, tocDigest }: LayerWithPackedToc, problems: string[]): boolean {
  const { payloadEnd, compression } = footer;
  const options = { payloadEnd, compression, opaqueXattr: 'trusted' } as const;
  // One tree has one packed form, but for the compression of its columns.
  const repacked = (tree: BuiltTree): Buffer | undefined => packTree(tree, tocDigest, payloadEnd);
  try {
    const unpacked = unpackTree(unwrapPackedToc(section, compression) ?? Buffer.alloc(0), options);
    const expected = repacked(buildInodeTable(readWholeToc(toc, footer), options));
    return unpacked.tocDigest === tocDigest && repacked(unpacked.tree)?.equals(expected ?? Buffer.alloc(0)) === true;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    problems.push(error.message);
    return true;
  }
}
