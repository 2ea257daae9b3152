import type { Footer } from '../estargz/footer.ts';
import { isPackedToc, unwrapPackedToc } from '../estargz/packed-toc.ts';
import { TocReader } from '../estargz/toc.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import { type BuildOptions, type BuiltTree, buildInSteps } from '../tree/build.ts';
import { refusePacked } from '../tree/packed-columns.ts';
import { takeTurns } from '../tree/steps.ts';
import { unpackInSteps } from '../tree/unpack.ts';

export interface BuiltLayer {
  readonly tree: BuiltTree;
  /** Digest of the TOC's raw JSON; of a packed TOC's as it says itself. */
  readonly tocDigest: Digest;
  /** Of a packed TOC. */
  readonly packedTocDigest?: Digest;
}

/**
 * `toc`: [footer.tocOffset, footer.tocEnd) of the blob, compressed; or its packed TOC. Rejects with FormatError. Yields to the
 * event loop.
 */
export async function buildLayer(
  toc: Uint8Array,
  footer: Footer,
  options: Pick<BuildOptions, 'opaqueXattr' | 'isLowest' | 'memory'>,
): Promise<BuiltLayer> {
  const { payloadEnd, compression } = footer;
  if (isPackedToc(toc, compression)) return await unpackLayer(toc, footer, options);
  const reader = new TocReader(toc, footer);
  const tree = await takeTurns(buildInSteps(reader, { ...options, payloadEnd, compression }));
  return { tree, tocDigest: reader.digest() };
}

/** As an upper layer: of an image's lowest with marks, the caller has the TOC. */
async function unpackLayer(
  section: Uint8Array,
  { payloadEnd, compression }: Footer,
  { opaqueXattr, memory }: Pick<BuildOptions, 'opaqueXattr' | 'memory'>,
): Promise<BuiltLayer> {
  const content = unwrapPackedToc(section, compression);
  if (content === undefined) throw refusePacked('its section is damaged');
  const unpacking = unpackInSteps(content, { payloadEnd, compression, opaqueXattr, ...(memory && { memory }) });
  return { ...(await takeTurns(unpacking)), packedTocDigest: digestOf(section) };
}
