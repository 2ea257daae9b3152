/** Every option of config.toml: name, type, range and default. Names and defaults are containerd-stargz-grpc's. */

export type Option =
  | { readonly kind: 'flag'; readonly default: boolean }
  | {
      readonly kind: 'count';
      readonly default: number;
      readonly min: number;
      readonly max?: number;
      readonly zeroIsDefault?: boolean;
    }
  /** '' means the default. */
  | { readonly kind: 'text'; readonly default: string }
  | { readonly kind: 'listen-address'; readonly default: string }
  | { readonly kind: 'server-address' }
  | { readonly kind: 'choice'; readonly default: string; readonly choices: readonly string[] }
  | { readonly kind: 'headers' }
  | { readonly kind: 'no-effect'; readonly type: 'flag' | 'integer' | 'text' | 'table'; readonly why: string }
  | { readonly kind: 'by-registry'; readonly section: Section }
  | { readonly kind: 'list'; readonly section: Section };

export interface Section {
  readonly [name: string]: Option | Section;
}

const flag = (value: boolean) => ({ kind: 'flag', default: value }) as const;
const text = (value: string) => ({ kind: 'text', default: value }) as const;
const count = (value: number, min = 0, max?: number) =>
  ({ kind: 'count', default: value, min, ...(max === undefined ? {} : { max }) }) as const;
const choice = <const Choices extends readonly string[]>(...choices: Choices) =>
  ({ kind: 'choice', default: choices[0] as Choices[number], choices }) as const;
/** As in the Go daemon, 0 means the default. */
const setting = (value: number, max = 2 ** 31, min = 0) =>
  ({ kind: 'count', default: value, min, max, zeroIsDefault: true }) as const;
const noEffect = (type: 'flag' | 'integer' | 'text' | 'table', why: string) =>
  ({ kind: 'no-effect', type, why }) as const;

/** Node's timers fire at once from 2^31 ms on. */
const maxSec = 2_000_000;
const maxMsec = 2_000_000_000;

const oneStore = 'layers have one store on disk, shared by all mounts';

export const sections = {
  /** host:port for /metrics and /debug/layers; '' for none. */
  metrics_address: { kind: 'listen-address', default: '' },
  no_prometheus: flag(false),
  debug_address: noEffect('text', '/debug/layers is served at metrics_address'),
  noprefetch: flag(false),
  /** Bytes to prefetch of a layer without a landmark. */
  prefetch_size: count(0),
  prefetch_timeout_sec: noEffect('integer', 'a prefetch never holds a container back'),
  no_background_fetch: flag(false),
  allow_no_verification: flag(false),
  disable_verification: flag(false),
  /** Concurrent background fetches. */
  max_concurrency: setting(2),
  debug: flag(false),
  /** How long a resolved layer that nobody mounted is kept. */
  resolve_result_entry_ttl_sec: setting(120, maxSec),
  /** File to append the first read of every range of every file to, for convert's --record-in; '' for none. */
  record_accesses: text(''),
  /** Look for access profiles that were published of images without lists of hot ranges (estargz/access-profile.ts). */
  access_profiles: flag(true),
  http_cache_type: noEffect('text', oneStore),
  http_cache_chunk_ttl_sec: noEffect('integer', oneStore),
  filesystem_cache_type: noEffect('text', oneStore),
  resolve_result_entry: noEffect('integer', 'deprecated; see resolve_result_entry_ttl_sec'),
  prefetch_async_size: noEffect('integer', 'a prefetch never holds a container back'),
  log_file_access: noEffect('flag', 'see record_accesses'),
  metadata_store: noEffect('text', 'the TOC is always kept on disk'),
  ipfs: noEffect('flag', 'IPFS is not supported'),

  blob: {
    /** Maximum wait of a read for content, after which it fails with EIO. */
    fetching_timeout_sec: setting(300, maxSec),
    /** Negative: no retries. */
    max_retries: setting(5, 1000, -1),
    min_wait_msec: setting(30, maxMsec),
    max_wait_msec: setting(300_000, maxMsec),
    valid_interval: noEffect('integer', 'a layer is checked when a read of it has failed'),
    check_always: noEffect('flag', 'a layer is checked when a read of it has failed'),
    // Not even as a minimum: unrequested bytes are bounded by what readers use, and a minimum would break that bound.
    chunk_size: noEffect('integer', 'requests are sized by the measured link'),
    prefetch_chunk_size: noEffect('integer', 'requests are sized by the measured link'),
    force_single_range_mode: noEffect('flag', 'a request never asks for more than one range'),
  },

  directory_cache: {
    max_lru_cache_entry: noEffect('integer', oneStore),
    max_cache_fds: noEffect('integer', oneStore),
    sync_add: noEffect('flag', oneStore),
    direct: noEffect('flag', oneStore),
    fadv_dontneed: noEffect('flag', oneStore),
  },

  /** Not in the Go daemon: the store of fetched layers. */
  cache: {
    /** Unused layers are deleted to stay below it, least recently used first. 0 keeps none. */
    limit_bytes: count(20 * 1024 ** 3),
    /** false fetches one chunk at a time, to measure the benefit of the adaptive window. */
    adaptive_fetch: flag(true),
    /** Memory limit for the trees of all layers, built or mounted; one layer may use half of it. */
    tree_memory_bytes: setting(512 * 1024 ** 2, 2 ** 46),
  },

  fuse: {
    /** Seconds that the kernel caches FUSE entries and attributes; 0: forever, since a layer never changes. */
    attr_timeout: count(0, 0, 2 ** 30),
    entry_timeout: count(0, 0, 2 ** 30),
    passthrough: noEffect('flag', 'reads of complete files go through the daemon'),
    merge_buffer_size: noEffect('integer', 'files are stored whole, nothing is merged'),
    merge_worker_count: noEffect('integer', 'files are stored whole, nothing is merged'),
  },

  /** Ours: the face that layers are mounted with. */
  mount: {
    backend: choice('auto', 'erofs', 'fuse'),
  },

  resolver: {
    /** Maximum wait for a response of any registry, and between parts of its body; 0: 30; negative: no limit. */
    request_timeout_sec: count(30, -1, maxSec),
    /** containerd's directory of hosts.toml files, as `config_path` of its CRI plugin; '' for none. */
    config_path: text(''),
    host: {
      kind: 'by-registry',
      section: {
        mirrors: {
          kind: 'list',
          section: {
            /** host:port, optionally with a scheme and a path. */
            host: { kind: 'server-address' },
            insecure: flag(false),
            /** 0: as in [resolver]; negative: no limit. */
            request_timeout_sec: count(0, -1, maxSec),
            header: { kind: 'headers' },
          },
        },
      },
    },
  },

  kubeconfig_keychain: {
    enable_keychain: flag(false),
    kubeconfig_path: text(''),
  },

  cri_keychain: {
    enable_keychain: flag(false),
    /** Socket of the CRI to which image calls are forwarded. */
    image_service_path: text('/run/containerd/containerd.sock'),
    /** Separate socket for the image service; '': that of the snapshotter. */
    listen_path: text(''),
  },

  snapshotter: {
    /** Start even if a layer cannot be mounted again; its snapshots answer UNAVAILABLE. */
    allow_invalid_mounts_on_restart: flag(false),
    /** Equivalent here: what cannot be mounted at start is mounted on use. */
    lazy_restore_on_restart: flag(false),
  },

  fuse_manager: noEffect('table', 'the FUSE connection belongs to the daemon'),
} as const satisfies Section;

type ValueOf<T> = T extends { readonly kind: 'flag' }
  ? boolean
  : T extends { readonly kind: 'count' }
    ? number
    : T extends { readonly kind: 'text' | 'server-address' | 'listen-address' }
      ? string
      : T extends { readonly kind: 'choice'; readonly choices: readonly (infer Choice)[] }
        ? Choice
        : T extends { readonly kind: 'headers' }
          ? Readonly<Record<string, string>>
          : T extends { readonly kind: 'no-effect' }
            ? undefined
            : T extends { readonly kind: 'by-registry'; readonly section: infer Inner }
              ? Readonly<Record<string, ValueOf<Inner>>>
              : T extends { readonly kind: 'list'; readonly section: infer Inner }
                ? readonly ValueOf<Inner>[]
                : { readonly [Name in keyof T]: ValueOf<T[Name]> };

/** The parsed configuration, with defaults filled in. */
export type Config = ValueOf<typeof sections>;
