import type { Variant } from '../images/ensure.ts';

export interface Mode {
  readonly name: string;
  /** What it stands for, in one line. */
  readonly title: string;
  /** The form of the image that it pulls. */
  readonly variant: Variant;
  readonly snapshotter: 'overlayfs' | 'stargz';
  /** config.toml of the snapshotter daemon, for the lazy modes. */
  readonly daemonConfig: Readonly<Record<string, unknown>> | undefined;
}
