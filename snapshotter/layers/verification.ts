import type { Digest } from '../registry/digest.ts';
import { LayerError } from './error.ts';

export interface VerificationRules {
  /** `disable_verification`: the TOC digest is not required. */
  readonly disableVerification: boolean;
  /** `allow_no_verification`: a layer with the skip label needs no TOC digest. */
  readonly allowNoVerification: boolean;
}

const remedy =
  'convert the image to eStargz, or set allow_no_verification and the label containerd.io/snapshot/remote/stargz.skipverify';

/**
 * Returns whether the TOC has the digest of the label. Throws LayerError 'unverified' if the label is missing but required,
 * 'toc-digest-mismatch' if it differs. Chunk digests are always verified.
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
