import type { Peer } from '../daemon/peer.ts';
import type { Variant } from '../images/variants.ts';

/** What the snapshotter had pulled and run before the measured run. */
export type DaemonState =
  /** Nothing. */
  | 'fresh'
  /** Another workload. */
  | 'warm'
  /** The same workload: its image is there, and what a run reads is cached. */
  | 'again'
  /** A workload of another image that shares layers with this one. */
  | 'shared';

/** Another commit of this project. */
export interface ModeBase {
  /** As it was asked for: a branch, a tag, a commit. */
  readonly ref: string;
  /** 40 hex digits. */
  readonly commit: string;
  /** Of its checkout. */
  readonly directory: string;
}

/** One way to pull and run an image. */
export interface Mode {
  readonly name: string;
  /** One line, for --list. */
  readonly title: string;
  /** The image format it pulls. */
  readonly variant: Variant;
  /** What pulls and runs. Default: containerd. */
  readonly engine?: 'containerd' | 'docker';
  /** overlayfs, erofs (containerd's own), stargz (ours), or the name of a peer. */
  readonly snapshotter: string;
  /** config.toml of the daemon: how it mounts, prefetches and fills; undefined for a mode without one. */
  readonly daemonConfig: Readonly<Record<string, unknown>> | undefined;
  /** The snapshotter to run instead of ours. */
  readonly peer?: Peer;
  /** Another commit of this project, whose daemon runs instead of ours. */
  readonly base?: ModeBase;
  /** Absent: fresh, and nothing is compared with it. */
  readonly daemonState?: DaemonState;
}

/** A mode as environment.json records it: nothing that decides its result is left out. */
export function describeMode(mode: Mode): Readonly<Record<string, unknown>> {
  const {
    name,
    title,
    variant,
    engine = 'containerd',
    snapshotter,
    daemonConfig,
    daemonState = 'fresh',
    peer,
    base,
  } = mode;
  return {
    ...{ name, title, variant, engine, snapshotter, daemonState },
    config: daemonConfig ?? null,
    ...(peer === undefined ? {} : { peer: describePeer(peer) }),
    ...(base === undefined ? {} : { base: { ref: base.ref, commit: base.commit } }),
  };
}

/** Without how it got onto this machine: its program and version are recorded once it is found. */
function describePeer({
  name,
  command,
  env,
  files,
  prepare,
  lazy,
  eagerLayers,
}: Peer): Readonly<Record<string, unknown>> {
  return { name, command, env, files, prepare, lazy, eagerLayers };
}
