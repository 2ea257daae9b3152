import type { Digest } from '../registry/digest.ts';
import { LayerError } from './error.ts';
import type { LayerRequest } from './layer-request.ts';

export interface VerificationRules {
  /** `disable_verification`: the TOC digest is not required. */
  readonly disableVerification: boolean;
  /** `allow_no_verification`: a layer with the skip label needs no TOC digest. */
  readonly allowNoVerification: boolean;
}

const remedy =
  'convert the image to eStargz, or set allow_no_verification and the label containerd.io/snapshot/remote/stargz.skipverify';

/** What a layer was mounted by. */
export interface TocFacts {
  readonly tocDigest: Digest;
  /** A packed TOC says itself which TOC it stands for, so that its own digest must be the promised one. */
  readonly packedTocDigest?: Digest | undefined;
  readonly unverifiableChunkCount: number;
}

/** What a request promises. */
type TocLabels = Pick<LayerRequest, 'digest' | 'tocDigest' | 'packedTocDigest' | 'skipVerify'>;

/**
 * Returns whether the TOC has the digest of the label. Throws LayerError 'unverified' if the label is missing but required,
 * 'toc-digest-mismatch' if it differs. Chunk digests are always verified.
 */
export function checkTocDigest(request: TocLabels, actual: TocFacts, rules: VerificationRules): boolean {
  const { digest, tocDigest } = request;
  const { packedTocDigest, unverifiableChunkCount } = actual;
  const isPackedAsPromised = packedTocDigest === undefined || packedTocDigest === request.packedTocDigest;
  const isPromised = tocDigest === actual.tocDigest && isPackedAsPromised;
  if (rules.disableVerification) return isPromised;
  if (isPromised && unverifiableChunkCount === 0) return true;
  if (request.skipVerify && rules.allowNoVerification) return false;
  if (isPromised) {
    throw new LayerError('unverified', digest, `its TOC has no digest for ${unverifiableChunkCount} chunks; ${remedy}`);
  }
  if (!isPackedAsPromised) {
    const promised = request.packedTocDigest ?? 'none';
    throw new LayerError(
      'toc-digest-mismatch',
      digest,
      `its packed TOC has digest ${packedTocDigest}, the image promises ${promised}`,
    );
  }
  if (tocDigest !== undefined) {
    throw new LayerError(
      'toc-digest-mismatch',
      digest,
      `its TOC has digest ${actual.tocDigest}, the image promises ${tocDigest}`,
    );
  }
  throw new LayerError('unverified', digest, `the image names no TOC digest; ${remedy}`);
}
