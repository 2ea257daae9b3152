/** The form of the image that a mode pulls. */
export type Variant = 'legacy' | 'stargz' | 'estargz';

export interface Mode {
  readonly name: string;
  /** What it stands for, in one line. */
  readonly title: string;
  readonly variant: Variant;
  readonly snapshotter: 'overlayfs' | 'stargz';
  /** config.toml of the snapshotter daemon, for the lazy modes. */
  readonly daemonConfig: Readonly<Record<string, unknown>> | undefined;
}
