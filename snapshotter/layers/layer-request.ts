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

/** A layer on disk, or mounted, that another is stacked on. */
export type LowerLayer =
  | { readonly digest: Digest; readonly view: string }
  /** Unpacked, by containerd. */
  | { readonly directory: string };

/** Where in a chain of snapshots a layer is to be shown. */
export interface LayerPlace {
  /** As it was shown there before, if it was. */
  readonly view?: string;
  readonly isLowest: boolean;
  /** The layers below, the nearest first, each ready to be looked into; asked only if the layer's tree depends on them. */
  below(): Promise<readonly LowerLayer[]>;
}

/** What an earlier snapshot stands on. */
export interface RestoredLayer {
  readonly request: LayerRequest;
  readonly place?: LayerPlace;
}

export interface MountedLayer {
  readonly digest: Digest;
  /** Which of the layer's trees: see views.ts. */
  readonly view: string;
  /** What goes into an overlay's lowerdir. */
  readonly path: string;
}
