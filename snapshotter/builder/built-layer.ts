import type { Footer } from '../estargz/footer.ts';
import { TocReader } from '../estargz/toc.ts';
import type { Digest } from '../registry/digest.ts';
import { type BuildOptions, type BuiltTree, buildInSteps } from '../tree/build.ts';
import { takeTurns } from '../tree/steps.ts';

export interface BuiltLayer {
  readonly tree: BuiltTree;
  /** Digest of the TOC's raw JSON. */
  readonly tocDigest: Digest;
}

/** `toc`: [footer.tocOffset, footer.tocEnd) of the blob, compressed. Rejects with FormatError. Yields to the event loop. */
export async function buildLayer(
  toc: Uint8Array,
  footer: Footer,
  options: Pick<BuildOptions, 'opaqueXattr' | 'isLowest' | 'memory'>,
): Promise<BuiltLayer> {
  const reader = new TocReader(toc, footer);
  const { payloadEnd, compression } = footer;
  const tree = await takeTurns(buildInSteps(reader, { ...options, payloadEnd, compression }));
  return { tree, tocDigest: reader.digest() };
}
