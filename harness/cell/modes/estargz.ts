import type { Mode } from '../../run/mode.ts';

export const estargz: Mode = {
  name: 'estargz',
  title: 'eStargz layers in the order of use, lazily pulled, prefetched and verified',
  variant: 'estargz',
  snapshotter: 'stargz',
  daemonConfig: { no_background_fetch: true },
};
