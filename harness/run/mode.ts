import type { Variant } from '../images/ensure.ts';

/** One way to pull and run an image. */
export interface Mode {
  readonly name: string;
  /** One line, for --list. */
  readonly title: string;
  /** The image format it pulls. */
  readonly variant: Variant;
  readonly snapshotter: 'overlayfs' | 'stargz';
  /** config.toml of the daemon; undefined for a mode without one. */
  readonly daemonConfig: Readonly<Record<string, unknown>> | undefined;
  /** Path of a `containerd-stargz-grpc` to run instead of ours. */
  readonly peer?: string;
  /** Whether the daemon has pulled and run another image before the measured one. */
  readonly daemonState?: 'fresh' | 'warm';
}
