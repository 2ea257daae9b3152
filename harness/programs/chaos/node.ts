import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openClient } from '../../../snapshotter/api/client.ts';
import { mountsUnder } from '../../../snapshotter/platform/mountinfo.ts';
import { unmount } from '../../../testkit/mounts.ts';
import { until } from '../../../testkit/until.ts';
import { type SnapshotterDaemon, startDaemon } from '../../daemon/daemon.ts';
import { findProcessesNaming, isAlive, killProcesses } from '../../host/processes.ts';
import { mountAt, unmountUnder } from '../../host/mounts.ts';
import { filesOf } from './content.ts';
import { mountSmallDisk, type SmallDisk } from './disk.ts';

export type FaceKind = 'fuse' | 'erofs';

export interface NodeSetting {
  /** Made, and removed at the end. Short: sockets lie in it. */
  readonly directory: string;
  readonly face: FaceKind;
  readonly image: { readonly number: number; readonly reference: string; readonly digest: string };
}

/** A daemon, and a container's root file system on one lazy layer, with a disk of their own. */
export interface ChaosNode {
  readonly disk: SmallDisk;
  /** Of the container. */
  readonly containerRoot: string;
  readonly daemon: SnapshotterDaemon;
  /** Waits until the daemon has a keeper that is alive, other than `previous`; its pid. */
  keeper(previous?: number): Promise<number>;
  /** After it has ended. */
  restartDaemon(signal: AbortSignal): Promise<void>;
  /** As when a container is restarted: a new mount. */
  remountContainer(): Promise<void>;
  /** Files that do not read as what they must. */
  verify(): Promise<string[]>;
  /** Stops everything in an orderly way; what was still there afterwards. */
  takeDown(): Promise<string[]>;
  /** For a node that failed. */
  destroy(): Promise<void>;
}

/** A read waits no longer than this for a registry that does not answer: `maxReadMs` counts on it. */
const fetchLimitSec = 20;
const keeperLimitMs = 30_000;
const maxVerifyAttempts = 60;
const verifyPauseMs = 500;

export async function startNode({ directory, face, image }: NodeSetting, signal: AbortSignal): Promise<ChaosNode> {
  await mkdir(directory, { recursive: true });
  const disk = await mountSmallDisk(directory);
  const root = join(disk.path, 'root');
  const containerRoot = join(directory, 'c');
  const config = {
    disable_verification: true,
    noprefetch: true,
    no_background_fetch: true,
    cache: { adaptive_fetch: false },
    blob: { fetching_timeout_sec: fetchLimitSec, max_retries: 3, max_wait_msec: 500 },
    resolver: { request_timeout_sec: 5 },
    mount: { backend: face },
  };
  const start = () => startDaemon({ directory, root, config }, signal);
  let daemon = await start();
  const node: ChaosNode = {
    disk,
    containerRoot,
    get daemon() {
      return daemon;
    },
    keeper: (previous) => {
      const other = async () => {
        const { pid } = daemon.status().keeper;
        return pid !== null && pid !== previous && (await isAlive(pid)) && pid;
      };
      return until(`${face}: the daemon has a keeper`, other, { limitMs: keeperLimitMs, intervalMs: 20 });
    },
    async restartDaemon() {
      daemon = await start();
    },
    async remountContainer() {
      await unmount(containerRoot);
      await mountContainer(daemon, containerRoot);
    },
    verify: () =>
      findWrong(containerRoot, join(root, 'layers', image.digest.slice('sha256:'.length), 'data'), image.number),
    async takeDown() {
      await unmount(containerRoot);
      const { code } = await exitOf(daemon);
      const left = [
        ...(code === 0 ? [] : [`the daemon ended with ${code}`]),
        ...mountsUnder(root).map(({ path }) => `mount ${path}`),
        ...(await findProcessesNaming(directory)).map((pid) => `process ${pid}`),
        ...(existsSync(join(root, 'keeper.sock')) ? ['keeper.sock'] : []),
      ];
      if (left.length > 0) return left;
      await disk.unmount();
      await rm(directory, { recursive: true });
      return mountsUnder(directory).map(({ path }) => `mount ${path}`);
    },
    async destroy() {
      await killProcesses(await findProcessesNaming(directory));
      await unmountUnder(directory);
      await rm(directory, { recursive: true, force: true });
    },
  };
  try {
    await prepareContainer(daemon, image);
    await mountContainer(daemon, containerRoot);
    return node;
  } catch (error) {
    await node.destroy();
    throw error;
  }
}

async function exitOf(daemon: SnapshotterDaemon): Promise<{ code: unknown }> {
  return { code: await daemon.stop('SIGINT') };
}

/** As containerd does it. */
async function prepareContainer(daemon: SnapshotterDaemon, image: NodeSetting['image']): Promise<void> {
  const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  const labels = {
    'containerd.io/snapshot.ref': 'layer',
    'containerd.io/snapshot/cri.image-ref': image.reference,
    'containerd.io/snapshot/cri.layer-digest': image.digest,
  };
  try {
    await snapshots.prepare({ key: 'extract', labels }).then(
      () => Promise.reject(new Error('the layer was not mounted lazily')),
      (error: { code?: string }) => (error.code === 'ALREADY_EXISTS' ? undefined : Promise.reject(error as Error)),
    );
    await snapshots.prepare({ key: 'container', parent: 'layer' });
  } finally {
    snapshots.close();
  }
}

async function mountContainer(daemon: SnapshotterDaemon, target: string): Promise<void> {
  const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  try {
    await mountAt((await snapshots.mounts({ key: 'container' })).mounts, target);
  } finally {
    snapshots.close();
  }
}

/**
 * By libuv's threads: the main thread of this process serves nothing that the reads wait for. A file that fails is read again:
 * the registry may be dead just then.
 */
async function findWrong(root: string, dataPath: string, image: number): Promise<string[]> {
  const wrong: string[] = [];
  for (const { path, content } of filesOf(image)) {
    const read = await readPatiently(join(root, path), content.length);
    if (read instanceof Error) wrong.push(`${path}: ${read.message}`);
    else if (!read.equals(content)) wrong.push(`${path}: ${await describeDamage(read, content, dataPath)}`);
  }
  return wrong;
}

async function readPatiently(path: string, sizeBytes: number): Promise<Buffer | Error> {
  for (let attempt = 1; ; attempt++) {
    const read = await readWhole(path, sizeBytes).catch((error: NodeJS.ErrnoException) => error);
    if (!(read instanceof Error) || read.code !== 'EIO' || attempt === maxVerifyAttempts) return read;
    await delay(verifyPauseMs);
  }
}

/** Not by readFile: Node takes a short read for the end of the file, and read(2) is short before a page that fails. */
async function readWhole(path: string, sizeBytes: number): Promise<Buffer> {
  await using file = await open(path);
  const bytes = Buffer.alloc(sizeBytes);
  for (let done = 0; done < sizeBytes; ) {
    const { bytesRead } = await file.read(bytes, done, sizeBytes - done, done);
    if (bytesRead === 0) return bytes.subarray(0, done);
    done += bytesRead;
  }
  return bytes;
}

/** Where it differs, and whether it is the daemon's data that is wrong or the kernel's cache of it. */
async function describeDamage(read: Buffer, content: Buffer, dataPath: string): Promise<string> {
  const differing = [...content.keys()].filter((at) => read[at] !== content[at]);
  const zeros = differing.filter((at) => read[at] === 0).length;
  const data = await readFile(dataPath);
  return (
    `${differing.length} of ${content.length} bytes differ, from ${differing[0]} to ${differing.at(-1)}, ${zeros} of them zeros, ` +
    `length ${read.length}; the data file is ${data.includes(content) ? 'right' : 'wrong too'}`
  );
}
