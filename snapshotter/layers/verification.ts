import type { Digest } from '../registry/digest.ts';
import { LayerError } from './error.ts';

export interface VerificationRules {
  /** `disable_verification`: nothing is asked of the TOC. */
  readonly disableVerification: boolean;
  /** `allow_no_verification`: a layer may go without if its label says so. */
  readonly allowNoVerification: boolean;
}

const remedy =
  'convert the image to eStargz, or set allow_no_verification and the label containerd.io/snapshot/remote/stargz.skipverify';

/**
 * Whether the TOC digest the puller's label names was checked. Throws LayerError 'unverified' where there is none and
 * the rules ask for one, 'toc-digest-mismatch' where it is another. Chunk digests are checked in any case.
 */
export function checkTocDigest(
  request: { readonly digest: Digest; readonly tocDigest?: Digest | undefined; readonly skipVerify: boolean },
  actual: Digest,
  unverifiableChunkCount: number,
  rules: VerificationRules,
): boolean {
  const { digest, tocDigest } = request;
  if (rules.disableVerification) return tocDigest === actual;
  if (tocDigest === actual && unverifiableChunkCount === 0) return true;
  if (request.skipVerify && rules.allowNoVerification) return false;
  if (tocDigest === actual) {
    throw new LayerError('unverified', digest, `its TOC has no digest for ${unverifiableChunkCount} chunks; ${remedy}`);
  }
  if (tocDigest !== undefined) {
    throw new LayerError(
      'toc-digest-mismatch',
      digest,
      `its TOC has digest ${actual}, the image promises ${tocDigest}`,
    );
  }
  throw new LayerError('unverified', digest, `the image names no TOC digest; ${remedy}`);
}
