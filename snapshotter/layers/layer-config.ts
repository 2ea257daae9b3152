/** What the layers do, as the configuration says; names and meaning as in containerd-stargz-grpc where it has them. */
export interface LayerConfig {
  readonly noprefetch: boolean;
  /** Bytes to prefetch of layers that have no landmark; 0 for none. */
  readonly prefetchSizeBytes: number;
  readonly noBackgroundFetch: boolean;
  readonly disableVerification: boolean;
  readonly allowNoVerification: boolean;
  /** How long a layer's footer and TOC, resolved ahead for the image's other layers, are kept. */
  readonly resolveTtlMs: number;
  /** Disk for layers; those nobody uses are deleted, longest unused first, to stay below it. 0 keeps none unused. */
  readonly cacheLimitBytes: number;
  /** Memory for the trees of all layers. */
  readonly treeMemoryBytes: number;
  /** Which overlayfs reads the mounts: one mounted by root, or with `userxattr`. */
  readonly opaqueXattr: 'trusted' | 'user';
  /** File to append the order of first reads to. */
  readonly recordAccesses?: string;
  /** Fetch one member at a time: for measuring what the adaptive window is worth. */
  readonly adaptiveFetch: boolean;
}
