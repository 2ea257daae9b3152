import type { LayerStore } from '../store/layer-store.ts';

/** What a face asks of a layer while it is attached. */
export interface LayerReader {
  ensure(dataOffset: number, sizeBytes: number, signal: AbortSignal): Promise<void>;
  /** The first read of each file, in order; left out unless accesses are recorded, since it costs a message each. */
  onFirstRead?(inode: number, chunk: number): void;
}

/** A way to show layers to the kernel: FUSE, or EROFS with fanotify. */
export interface Face {
  readonly kind: 'fuse' | 'erofs';
  /** Resolves to a directory that shows the layer's tree, good for overlay's lowerdir. */
  attach(store: LayerStore, reader: LayerReader): Promise<string>;
  /** When it resolves nothing touches the store's descriptor any more. Rejects, and leaves it attached, if it is in use. */
  detach(store: LayerStore): Promise<void>;
  /** Every chunk is there: a face that guards holes need not any longer. */
  completed?(store: LayerStore): void;
  close(): Promise<void>;
}
