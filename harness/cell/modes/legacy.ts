import type { Mode } from '../../run/mode.ts';

export const legacy: Mode = {
  name: 'legacy',
  title: 'original gzip layers, downloaded and unpacked by containerd (overlayfs)',
  variant: 'legacy',
  snapshotter: 'overlayfs',
  daemonConfig: undefined,
};
