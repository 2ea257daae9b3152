import type { Mode } from '../../run/mode.ts';

/** Images of the CRFS format carry no TOC digest, so there is nothing to verify a TOC against. */
export const stargz: Mode = {
  name: 'stargz',
  title: 'CRFS layers, lazily pulled, nothing optimised or prefetched',
  variant: 'stargz',
  snapshotter: 'stargz',
  daemonConfig: { noprefetch: true, disable_verification: true, no_background_fetch: true },
};
