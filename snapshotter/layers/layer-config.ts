/** Configuration of the layers; names and meaning are containerd-stargz-grpc's where it has the option. */
export interface LayerConfig {
  readonly noprefetch: boolean;
  /** Bytes to prefetch of layers without a landmark; 0 for none. */
  readonly prefetchSizeBytes: number;
  readonly noBackgroundFetch: boolean;
  readonly disableVerification: boolean;
  readonly allowNoVerification: boolean;
  /** How long footers and TOCs that were resolved ahead are kept. */
  readonly resolveTtlMs: number;
  /** Disk for layers: unused ones are deleted, least recently used first, to stay below it. 0 keeps no unused layer. */
  readonly cacheLimitBytes: number;
  /** Memory for the trees of all layers; see tree-memory.ts. */
  readonly treeMemoryBytes: number;
  /** Which xattrs the overlays above use: `user` with the mount option `userxattr`. */
  readonly opaqueXattr: 'trusted' | 'user';
  /** File to which first reads are appended, in order. */
  readonly recordAccesses?: string;
  /** False fetches one member at a time: to measure the benefit of the adaptive window. */
  readonly adaptiveFetch: boolean;
}
