import type { Digest } from '../registry/digest.ts';

export interface LayerRequest {
  /** The image reference of the pull. */
  readonly reference: string;
  readonly digest: Digest;
  /** This and other layers of the image, to be resolved together. */
  readonly siblings: readonly Digest[];
  /** Of the image's manifest for this platform, where the client says it. */
  readonly manifestDigest?: Digest;
  readonly tocDigest?: Digest;
  readonly urls?: readonly string[];
  readonly prefetchSizeBytes?: number;
  /** Of this layer and those above it, in order; see estargz/size-list.ts. */
  readonly tocSizes?: readonly number[];
  /** See estargz/packed-toc.ts. */
  readonly packedTocDigest?: Digest;
  /** Of this layer and those above it, likewise; 0 for those that have none. */
  readonly packedTocSizes?: readonly number[];
  /** As in the label; see estargz/hot-ranges.ts. */
  readonly hotRanges?: string;
  /** The same of layers above it. */
  readonly hotRangesAbove?: ReadonlyMap<Digest, string>;
  readonly skipVerify: boolean;
}

/** A layer that another is stacked on. */
export type LowerLayer =
  | { readonly digest: Digest; readonly view: string }
  /** Unpacked by containerd. */
  | { readonly directory: string };

/** A layer's place in a chain of snapshots. */
export interface LayerPlace {
  /** The view recorded for this place, if there is a record. */
  readonly view?: string;
  readonly isLowest: boolean;
  /** The layers below, nearest first, all mounted; called only if the layer's tree depends on them. */
  below(): Promise<readonly LowerLayer[]>;
}

/** A layer that a snapshot of an earlier daemon needs. */
export interface RestoredLayer {
  readonly request: LayerRequest;
  readonly place?: LayerPlace;
}

export interface MountedLayer {
  readonly digest: Digest;
  /** See views.ts. */
  readonly view: string;
  /** For overlay's lowerdir. */
  readonly path: string;
}
