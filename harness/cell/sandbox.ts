import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ModeBase } from '../run/mode.ts';
import type { Workload } from '../../workloads/workload.ts';
import type { Container } from '../containerd/container.ts';
import { Containerd } from '../containerd/containerd.ts';
import type { PulledImage } from '../containerd/image.ts';
import { HarnessError } from '../cli/error.ts';
import { dropCaches } from '../host/caches.ts';
import { removeCgroups } from '../host/cgroups.ts';
import { mountsUnder } from '../../snapshotter/platform/mountinfo.ts';
import { unmountUnder } from '../host/mounts.ts';
import { findProcessesInCgroup, findProcessesNaming, killProcesses } from '../host/processes.ts';
import { type RunningSnapshotter, type SnapshotterDaemon, startDaemon, startPeer } from '../daemon/daemon.ts';
import type { Peer } from '../daemon/peer.ts';
import { explainNotLazy, readNotLazy } from './not-lazy.ts';

/** The directory in which cells run one after another. Its path identifies their processes and mounts. */
export interface Sandbox {
  readonly directory: string;
  /** Prefix of the names of its containers and of their control groups. */
  readonly idPrefix: string;
  /** Node's compile cache of the daemon, kept between cells as on a machine where the daemon has run before. */
  readonly compileCache: string;
}

/** Programs other than the machine's own. */
export interface ContainerdPrograms {
  readonly containerd: string;
  /** A directory in which containerd looks for programs first. */
  readonly path?: string | undefined;
}

/** How a cell reaches the registry: our own, or others as containerd's configuration says. */
export type CellRegistry =
  /** `host:port`, plain HTTP. */
  | { readonly registryAddress: string; readonly hostsDirectory?: undefined; readonly proxyAddress?: undefined }
  | {
      readonly registryAddress?: undefined;
      /** containerd's directory of hosts.toml files, which our daemon reads too; undefined where there is none. */
      readonly hostsDirectory: string | undefined;
      /** `host:port` of a link that is a proxy; undefined: as the environment says. */
      readonly proxyAddress?: string | undefined;
    };

export type CellSetting = CellRegistry & CellPrograms;

interface CellPrograms {
  /** overlayfs, erofs, stargz (ours), or the name of the peer. */
  readonly snapshotter: string;
  readonly daemonConfig: Readonly<Record<string, unknown>> | undefined;
  readonly peer?: Peer | undefined;
  /** The commit of this project whose daemon runs. Default: this one. */
  readonly base?: ModeBase | undefined;
  readonly programs?: ContainerdPrograms | undefined;
  /** Of our daemon. Default: info. */
  readonly logLevel?: string;
}

/** The programs of a cell. */
export interface RunningCell {
  readonly containerd: Containerd;
  /** Ours or a peer's. */
  readonly daemon: RunningSnapshotter | undefined;
  /** The same where it is ours. */
  readonly own: SnapshotterDaemon | undefined;
  prepareContainer(workload: Workload): Promise<Container>;
  /** What serves the layers: the types of the snapshotter's own mounts, or overlayfs. */
  mountKind(): Promise<string>;
  /** Stops everything in reverse order of dependency. Tries every step; returns the failures. */
  stop(): Promise<string[]>;
}

export function openSandbox(stateDir: string): Sandbox {
  const directory = join(resolve(stateDir), 'cell');
  const mark = createHash('sha256').update(directory).digest('hex').slice(0, 8);
  return { directory, idPrefix: `stargz-bench-${mark}-`, compileCache: join(resolve(stateDir), 'compile-cache') };
}

/** Removes every process, mount, control group and file of an earlier cell or of a run that was killed. */
export async function clearSandbox(sandbox: Sandbox): Promise<void> {
  const { directory } = sandbox;
  // A dying process may still start another: containerd runs a shim to clean up after a shim.
  for (let left = await findLeft(sandbox), pass = 0; left.length > 0; left = await findLeft(sandbox), pass++) {
    const alive = pass === 20 ? left : await killProcesses(left);
    if (alive.length > 0) {
      throw new HarnessError('cleanup', `process ${alive.join(', ')} of an earlier cell does not exit`, {
        remedy: 'it hangs in the kernel (see /proc/PID/stack): restart the machine',
      });
    }
  }
  await removeCgroups(sandbox.idPrefix);
  await unmountUnder(directory);
  // Deleting through a mount would delete what is mounted.
  if (mountsUnder(directory).length > 0) throw new HarnessError('cleanup', `${directory} has mounts left`);
  await rm(directory, { recursive: true, force: true });
}

async function findLeft({ directory, idPrefix }: Sandbox): Promise<number[]> {
  const [naming, contained] = await Promise.all([findProcessesNaming(directory), findProcessesInCgroup(idPrefix)]);
  return [...new Set([...naming, ...contained])];
}

/** Starts the snapshotter, if the cell has one, and a containerd that uses it. The sandbox must be clear. */
export async function startCell(sandbox: Sandbox, setting: CellSetting, signal: AbortSignal): Promise<RunningCell> {
  const { directory } = sandbox;
  const { snapshotter, peer, registryAddress, hostsDirectory, proxyAddress } = setting;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const daemonDirectory = join(directory, snapshotter);
  const containerdDirectory = join(directory, 'containerd');
  const own = peer === undefined ? await startOwn(sandbox, daemonDirectory, setting, signal) : undefined;
  const daemon = peer === undefined ? own : await startPeerOf(peer, daemonDirectory, setting, signal);
  let containerd: Containerd;
  try {
    containerd = await Containerd.start(
      {
        directory: containerdDirectory,
        snapshotter,
        snapshotterAddress: daemon?.address,
        registryAddress,
        hostsDirectory,
        env: proxyEnvironment(proxyAddress),
        command: setting.programs?.containerd,
        path: setting.programs?.path,
      },
      signal,
    );
  } catch (error) {
    await daemon?.stop();
    throw error;
  }
  const containers: Container[] = [];
  let containerCount = 0;
  return {
    containerd,
    daemon,
    own,
    prepareContainer: async (workload) => {
      const id = `${sandbox.idPrefix}${++containerCount}`;
      const container = await containerd.prepareContainer({ id, workload });
      containers.push(container);
      return container;
    },
    mountKind: async () => kindOfMounts(daemon === undefined ? join(containerdDirectory, 'root') : daemonDirectory),
    stop: async () => {
      const failures: string[] = [];
      const attempt = async (what: string, step: Promise<unknown> | undefined) => {
        await step?.catch((error: unknown) => failures.push(`${what}: ${(error as Error).message}`));
      };
      for (const container of containers) await attempt('stop container', container.stop());
      await attempt('stop containerd', containerd.stop());
      await attempt('stop the snapshotter', daemon?.stop());
      // containerd's own snapshotters, and those of others, leave their mounts.
      if (own === undefined) await attempt('unmount', unmountUnder(directory));
      return failures;
    },
  };
}

async function startOwn(
  { compileCache }: Sandbox,
  directory: string,
  { daemonConfig, base, logLevel, hostsDirectory, proxyAddress }: CellSetting,
  signal: AbortSignal,
): Promise<SnapshotterDaemon | undefined> {
  if (daemonConfig === undefined) return undefined;
  const config =
    hostsDirectory === undefined ? daemonConfig : { ...daemonConfig, resolver: { config_path: hostsDirectory } };
  const env = { NODE_COMPILE_CACHE: compileCache, ...proxyEnvironment(proxyAddress) };
  const level = logLevel === undefined ? {} : { logLevel };
  const program = base === undefined ? {} : { mainPath: join(base.directory, 'snapshotter', 'main.ts') };
  return await startDaemon({ directory, config, env, ...level, ...program }, signal);
}

async function startPeerOf(
  peer: Peer,
  directory: string,
  { daemonConfig, proxyAddress }: CellSetting,
  signal: AbortSignal,
): Promise<RunningSnapshotter> {
  const proxied = { ...peer, env: { ...peer.env, ...proxyEnvironment(proxyAddress) } };
  const config = daemonConfig === undefined ? {} : { config: daemonConfig };
  return await startPeer(proxied, { directory, ...config }, signal);
}

/** What sends TLS connections through a proxy, and nothing around it but what is on loopback. */
export function proxyEnvironment(address: string | undefined): Readonly<Record<string, string>> {
  if (address === undefined) return {};
  return { HTTPS_PROXY: `http://${address}`, https_proxy: '', NO_PROXY: '', no_proxy: '' };
}

/** The types of the mounts below a snapshotter's directory but overlays, such as erofs. Subtypes are cut: fuse.rawBridge is fuse. */
function kindOfMounts(directory: string): string {
  const types = mountsUnder(directory).map(({ type }) => type.split('.')[0]!);
  return (
    [...new Set(types)]
      .filter((type) => type !== 'overlay')
      .sort()
      .join('+') || 'overlayfs'
  );
}

/**
 * Runs `use` in a cell that starts and ends with a clear sandbox; `isCold` drops the page cache before it starts. Rejects
 * with HarnessError 'cleanup' if something did not stop.
 */
export async function withCell<T>(
  sandbox: Sandbox,
  { isCold, ...setting }: CellSetting & { readonly isCold: boolean },
  use: (cell: RunningCell) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  await clearSandbox(sandbox);
  if (isCold) await dropCaches(signal);
  let result: T;
  let failures: readonly string[] = [];
  try {
    const running = await startCell(sandbox, setting, signal);
    try {
      result = await use(running);
    } finally {
      failures = await running.stop();
    }
  } finally {
    await clearSandbox(sandbox);
  }
  if (failures.length > 0) throw new HarnessError('cleanup', failures.join('; '));
  return result;
}

/** Throws HarnessError 'not-lazy' unless every layer of the image is mounted lazily. */
export async function requireLazy(
  { containerd, own }: RunningCell,
  image: string,
  pulled: PulledImage,
  signal: AbortSignal,
): Promise<void> {
  const { downloaded } = await containerd.prove(pulled, signal);
  if (downloaded.length === 0) return;
  const { text } = own === undefined ? explainNotLazy(downloaded, '') : await readNotLazy(downloaded, own.logPath);
  throw new HarnessError('not-lazy', `${image} was not pulled lazily: ${text}`);
}
