import { join } from 'node:path';
import { stringify, type TomlTable } from 'smol-toml';

export interface ContainerdConfigOptions {
  /** containerd writes nothing outside of it. */
  readonly directory: string;
  /** Major version of containerd: 1 or 2. */
  readonly majorVersion: number;
  /** overlayfs, erofs, or the name of the proxy plugin that is served at `snapshotterAddress`. */
  readonly snapshotter: string;
  /** Socket of the snapshotter's daemon. */
  readonly snapshotterAddress?: string | undefined;
  /** The image of a pod's sandbox container. Only pods need it. */
  readonly pauseImage?: string | undefined;
  /** CRI pulls through the transfer service, as containerd 2.1 and later do unless the configuration prevents it. */
  readonly pullsByTransfer?: boolean | undefined;
  /** A directory of hosts.toml files in place of its own. */
  readonly hostsDirectory?: string | undefined;
}

export interface ContainerdPaths {
  readonly root: string;
  readonly state: string;
  readonly socket: string;
  readonly config: string;
  /** Registry host configuration: a directory per host. */
  readonly hosts: string;
  readonly log: string;
}

export function containerdPaths(directory: string): ContainerdPaths {
  return {
    root: join(directory, 'root'),
    state: join(directory, 'state'),
    socket: join(directory, 'containerd.sock'),
    config: join(directory, 'config.toml'),
    hosts: join(directory, 'hosts'),
    log: join(directory, 'containerd.log'),
  };
}

/** Unused in a cell; each costs start-up time, log lines or a directory elsewhere (opt: /opt/containerd). */
const disabledPlugins = [
  'io.containerd.internal.v1.opt',
  'io.containerd.internal.v1.restart',
  'io.containerd.internal.v1.tracing',
  'io.containerd.tracing.processor.v1.otlp',
  'io.containerd.nri.v1.nri',
  'io.containerd.snapshotter.v1.aufs',
  'io.containerd.snapshotter.v1.blockfile',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.erofs',
  'io.containerd.snapshotter.v1.zfs',
];

/** config.toml of a private containerd: version 2 for 1.x, version 3 for 2.x. */
export function formatContainerdConfig(options: ContainerdConfigOptions): string {
  const own = containerdPaths(options.directory);
  const paths = { ...own, hosts: options.hostsDirectory ?? own.hosts };
  const { snapshotter, snapshotterAddress } = options;
  const config: TomlTable = {
    version: options.majorVersion >= 2 ? 3 : 2,
    root: paths.root,
    state: paths.state,
    disabled_plugins: disabledPlugins.filter((plugin) => plugin !== `io.containerd.snapshotter.v1.${snapshotter}`),
    // A score below that of this process needs CAP_SYS_RESOURCE, which containers often lack.
    oom_score: 0,
    grpc: { address: paths.socket },
    // For the calls of the shims.
    ttrpc: { address: `${paths.socket}.ttrpc` },
    plugins: options.majorVersion >= 2 ? pluginsOfVersion2(options, paths) : pluginsOfVersion1(options, paths),
  };
  if (snapshotterAddress !== undefined) {
    config.proxy_plugins = {
      [snapshotter]: {
        type: 'snapshot',
        address: snapshotterAddress,
        exports: {
          root: join(options.directory, snapshotter),
          // For the transfer service what disable_snapshot_annotations = false is for CRI.
          enable_remote_snapshot_annotations: 'true',
        },
      },
    };
  }
  return stringify(config);
}

function pluginsOfVersion1(options: ContainerdConfigOptions, { hosts }: ContainerdPaths): TomlTable {
  const { snapshotter, pauseImage } = options;
  return {
    'io.containerd.grpc.v1.cri': {
      disable_tcp_service: true,
      ...podSettings,
      ...(pauseImage === undefined ? {} : { sandbox_image: pauseImage }),
      cni: { bin_dir: cniPaths(options).bin, conf_dir: cniPaths(options).conf },
      registry: { config_path: hosts },
      containerd: { snapshotter, disable_snapshot_annotations: false },
    },
    'io.containerd.gc.v1.scheduler': withoutScheduledCollection,
  };
}

function pluginsOfVersion2(options: ContainerdConfigOptions, { hosts }: ContainerdPaths): TomlTable {
  const { snapshotter, pauseImage, pullsByTransfer = false } = options;
  const isErofs = snapshotter === 'erofs';
  return {
    'io.containerd.cri.v1.images': {
      snapshotter,
      // CRI does not use the transfer service while it annotates snapshots itself.
      disable_snapshot_annotations: pullsByTransfer,
      ...(pauseImage === undefined ? {} : { pinned_images: { sandbox: pauseImage } }),
      registry: { config_path: hosts },
      use_local_image_pull: !pullsByTransfer,
    },
    'io.containerd.cri.v1.runtime': {
      ...podSettings,
      cni: { bin_dirs: [cniPaths(options).bin], conf_dir: cniPaths(options).conf },
    },
    'io.containerd.grpc.v1.cri': { disable_tcp_service: true },
    'io.containerd.transfer.v1.local': {
      config_path: hosts,
      unpack_config: [{ platform: 'linux', snapshotter, ...(isErofs ? { differ: 'erofs' } : {}) }],
    },
    // Its differ writes a layer as an EROFS image; any other snapshotter's mounts it leaves to the next in the list.
    ...(isErofs ? { 'io.containerd.service.v1.diff-service': { default: ['erofs', 'walking'] } } : {}),
    'io.containerd.gc.v1.scheduler': withoutScheduledCollection,
  };
}

/** A score below that of this process needs CAP_SYS_RESOURCE, which containers often lack. */
const podSettings: TomlTable = { restrict_oom_score_adj: true };

/** Empty: pods use the host's network. */
function cniPaths({ directory }: ContainerdConfigOptions) {
  return { bin: join(directory, 'cni/bin'), conf: join(directory, 'cni/net.d') };
}

/** A garbage collection during a pull would be part of the measurement. */
const withoutScheduledCollection: TomlTable = {
  deletion_threshold: 0,
  mutation_threshold: 1_000_000,
  startup_delay: '1h',
};

/** hosts.toml of a plain-HTTP registry. */
export function formatHosts(registryAddress: string): string {
  const server = `http://${registryAddress}`;
  return stringify({ server, host: { [server]: { capabilities: ['pull', 'resolve'] } } });
}
