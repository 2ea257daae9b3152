import type { LayerConfig } from '../layers/layer-config.ts';

/** What config.toml says where it says nothing. */
export const defaultLayerConfig: LayerConfig = {
  noprefetch: false,
  prefetchSizeBytes: 0,
  noBackgroundFetch: false,
  disableVerification: false,
  allowNoVerification: false,
  resolveTtlMs: 120_000,
  cacheLimitBytes: 20 * 1024 ** 3,
  treeMemoryBytes: 512 * 1024 ** 2,
  opaqueXattr: 'trusted',
  adaptiveFetch: true,
};
