import type { RunOverrides, SourceMount } from '../../workloads/workload.ts';
import type { ContainerUser } from './image-user.ts';
import { HarnessError } from '../cli/error.ts';

/** The part of an image's config that says how to run it (OCI image-spec, "config"). */
export interface RunConfig {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly WorkingDir?: string;
}

export interface SpecRequest {
  readonly image: RunConfig;
  /** Replaces entry point and arguments. */
  readonly command: readonly string[] | undefined;
  readonly overrides?: RunOverrides | undefined;
  readonly user: ContainerUser;
  readonly env: readonly string[];
  readonly hostname: string;
  readonly cgroupsPath: string;
  /** Host files that are bind-mounted read-only, by their paths in the container. */
  readonly files: Readonly<Record<string, string>>;
  /** Host files and directories that are bind-mounted writable. */
  readonly directories?: readonly SourceMount[];
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The capabilities that container engines grant by default. */
const capabilities = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

const maskedPaths = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/firmware',
];

const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** Devices every container gets: null, zero, full, random, urandom, tty, console, and pseudo terminals. */
const allowedDevices: readonly (readonly [number, number | undefined])[] = [
  [1, 3],
  [1, 5],
  [1, 7],
  [1, 8],
  [1, 9],
  [5, 0],
  [5, 1],
  [5, 2],
  [136, undefined],
];

/**
 * The OCI runtime spec of a container. Its network namespace has only loopback, which runc brings up, so that the ports of
 * a server in it cannot collide with those of the host.
 */
export function buildSpec(request: SpecRequest): object {
  const { image, overrides = {} } = request;
  const args = request.command ?? argumentsOf(image, overrides);
  if (args.length === 0) {
    throw new HarnessError('unsupported-image', 'cannot run the image: it has no command', {
      remedy: 'give the workload a command',
    });
  }
  const privileges = { bounding: capabilities, effective: capabilities, permitted: capabilities };
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: request.user,
      args,
      env: mergeEnv([`PATH=${defaultPath}`, `HOSTNAME=${request.hostname}`], image.Env ?? [], request.env),
      cwd: (overrides.cwd ?? image.WorkingDir) || '/',
      capabilities: privileges,
    },
    root: { path: 'rootfs' },
    hostname: request.hostname,
    mounts: [
      ...baseMounts,
      ...Object.entries(request.files).map(([path, source]) => bindFile(path, source)),
      ...(request.directories ?? []).map(({ source, target }) =>
        mount(target, 'bind', source, ['rbind', 'rprivate', 'rw']),
      ),
    ],
    linux: {
      cgroupsPath: request.cgroupsPath,
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type })),
      resources: { devices: deviceRules() },
      maskedPaths,
      readonlyPaths,
    },
  };
}

function argumentsOf({ Entrypoint, Cmd }: RunConfig, { entrypoint, args }: RunOverrides): readonly string[] {
  const own = entrypoint === undefined ? (Cmd ?? []) : [];
  return [...(entrypoint ?? Entrypoint ?? []), ...(args ?? own)];
}

const baseMounts = [
  mount('/proc', 'proc', 'proc', ['nosuid', 'noexec', 'nodev']),
  mount('/dev', 'tmpfs', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
  mount('/dev/pts', 'devpts', 'devpts', ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5']),
  mount('/dev/shm', 'tmpfs', 'shm', ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k']),
  mount('/dev/mqueue', 'mqueue', 'mqueue', ['nosuid', 'noexec', 'nodev']),
  mount('/sys', 'sysfs', 'sysfs', ['nosuid', 'noexec', 'nodev', 'ro']),
];

function mount(destination: string, type: string, source: string, options: readonly string[]) {
  return { destination, type, source, options };
}

function bindFile(destination: string, source: string) {
  return mount(destination, 'bind', source, ['rbind', 'rprivate', 'ro']);
}

function deviceRules(): object[] {
  const allowed = allowedDevices.map(([major, minor]) => ({
    allow: true,
    type: 'c',
    major,
    ...(minor === undefined ? {} : { minor }),
    access: 'rwm',
  }));
  return [{ allow: false, access: 'rwm' }, ...allowed];
}

/** A later value replaces an earlier one at its place. */
function mergeEnv(...lists: readonly (readonly string[])[]): string[] {
  const values = new Map<string, string>();
  for (const entry of lists.flat()) {
    const equals = entry.indexOf('=');
    if (equals > 0) values.set(entry.slice(0, equals), entry);
  }
  return [...values.values()];
}
