import type { Digest } from '../registry/digest.ts';
import type { Owner } from '../snapshots/record.ts';

/** What it takes to mount a layer lazily, now and after a restart. */
export interface LayerRequest {
  /** The image, as the puller named it. */
  readonly reference: string;
  readonly digest: Digest;
  /** This layer and later ones of the image, in order, as far as the puller's label reached: worth resolving together. */
  readonly siblings: readonly Digest[];
  readonly tocDigest?: Digest;
  /** Other places that have the blob (a descriptor's `urls`). */
  readonly urls?: readonly string[];
  readonly prefetchSizeBytes?: number;
  /** The puller asks for no verification; it takes effect only where the configuration allows it. */
  readonly skipVerify: boolean;
}

export interface MountedLayer {
  readonly digest: Digest;
  /** What goes into an overlay's lowerdir. */
  readonly path: string;
  /** Of the layer's root directory. */
  readonly rootOwner: Owner;
}

export interface RestoreFailure {
  readonly digest: Digest;
  readonly error: unknown;
}

/** What the service needs of layers/manager.ts. */
export interface LayerSource {
  /** Joins a mount under way; throws LayerError with a reason. */
  mount(request: LayerRequest, signal: AbortSignal): Promise<MountedLayer>;
  /** Mounts what earlier snapshots stand on, from the local store; never throws for a single layer. */
  restore(requests: readonly LayerRequest[], signal: AbortSignal): Promise<readonly RestoreFailure[]>;
  /** Where the layer is mounted now. Synchronous: asked inside a transaction. */
  mounted(digest: string): MountedLayer | undefined;
  acquire(digest: Digest): void;
  release(digest: Digest): void;
  health(digest: Digest): 'ok' | 'unavailable' | Promise<'ok' | 'unavailable'>;
}
