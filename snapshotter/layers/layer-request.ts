import type { Digest } from '../registry/digest.ts';

export interface LayerRequest {
  /** The image, as the puller named it. */
  readonly reference: string;
  readonly digest: Digest;
  /** This and other layers of the image: worth resolving together. */
  readonly siblings: readonly Digest[];
  readonly tocDigest?: Digest;
  readonly urls?: readonly string[];
  readonly prefetchSizeBytes?: number;
  readonly skipVerify: boolean;
}

export interface MountedLayer {
  readonly digest: Digest;
  /** What goes into an overlay's lowerdir. */
  readonly path: string;
  /** Of the layer's root directory. */
  readonly rootOwner: { readonly uid: number; readonly gid: number };
}
