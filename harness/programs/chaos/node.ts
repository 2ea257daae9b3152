import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { mountsUnder } from '../../../snapshotter/platform/mountinfo.ts';
import { until } from '../../../testkit/until.ts';
import { Containerd } from '../../containerd/containerd.ts';
import { describeDownloaded } from '../../containerd/proof.ts';
import { type SnapshotterDaemon, startDaemon } from '../../daemon/daemon.ts';
import { removeCgroups } from '../../host/cgroups.ts';
import { findProcessesInCgroup, findProcessesNaming, isAlive, killProcesses } from '../../host/processes.ts';
import { unmountUnder } from '../../host/mounts.ts';
import { mountSmallDisk, type SmallDisk } from './disk.ts';
import { type ReaderContainer, snapshotter, startReader } from './reader-container.ts';
import { findRemains, listSnapshots } from './remains.ts';
import type { ReadTally } from './tally.ts';
import { findWrong } from './verification.ts';

export type FaceKind = 'fuse' | 'erofs';

export interface NodeSetting {
  /** Made, and removed at the end. Short: sockets lie in it. */
  readonly directory: string;
  /** Starts the names of its containers. */
  readonly idPrefix: string;
  readonly face: FaceKind;
  readonly image: { readonly number: number; readonly reference: string; readonly digest: string };
  readonly seed: number;
}

/** A daemon, a containerd that has it as its snapshotter, and a container on a lazy image, with a disk of their own. */
export interface ChaosNode {
  readonly disk: SmallDisk;
  readonly daemon: SnapshotterDaemon;
  readonly containerd: Containerd;
  readonly reader: ReaderContainer;
  /** Waits until the daemon has a keeper that is alive, other than `previous`; its pid. */
  keeper(previous?: number): Promise<number>;
  /** After it has ended; as `restartContainerd`. */
  restartDaemon(signal: AbortSignal): Promise<void>;
  restartContainerd(signal: AbortSignal): Promise<void>;
  /** Once the reader was killed or ended: removes its container, and starts another on a new snapshot. */
  replaceReader(seed: number, signal: AbortSignal): Promise<void>;
  /** Once the reader has ended: files that do not read as what they must. */
  verify(): Promise<string[]>;
  /** Once the reader has ended: stops everything in an orderly way; what was still there afterwards. */
  takeDown(reads: ReadTally): Promise<string[]>;
  /** Adds what all readers so far have read. */
  addReads(tally: ReadTally): Promise<void>;
  /** For a node that failed. */
  destroy(): Promise<void>;
}

/** A read waits no longer than this for a registry that does not answer: `maxReadMs` counts on it. */
const fetchLimitSec = 20;
const keeperLimitMs = 30_000;
const pullLimitMs = 60_000;
const removeLimitMs = 60_000;

export async function startNode(setting: NodeSetting, signal: AbortSignal): Promise<ChaosNode> {
  const { directory, idPrefix, face, image } = setting;
  await mkdir(directory, { recursive: true });
  const disk = await mountSmallDisk(directory);
  const root = join(disk.path, 'root');
  const containerdDirectory = join(disk.path, 'c');
  const destroy = async () => {
    await killProcesses([...(await findProcessesInCgroup(idPrefix)), ...(await findProcessesNaming(directory))]);
    await unmountUnder(directory);
    await removeCgroups(idPrefix);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    let daemon = await startSnapshotter(setting, root, signal);
    const startOwnContainerd = () => startContainerd(setting, containerdDirectory, daemon.address, signal);
    let containerd = await startOwnContainerd();
    const parent = await pull(containerd, image.reference, signal);
    const readers: ReaderContainer[] = [];
    const latestReader = () => readers.at(-1)!;
    const startOwnReader = async (seed: number) => {
      const id = `${idPrefix}${readers.length}`;
      const { reference, number: imageNumber } = image;
      const own = { id, directory, containerdDirectory, parent, reference, imageNumber, seed };
      readers.push(await startReader(containerd, own, signal));
    };
    await startOwnReader(setting.seed);
    const addReads = async (tally: ReadTally) => {
      for (const reader of readers) await reader.addTo(tally);
    };
    return {
      ...{ disk, addReads, destroy },
      get daemon() {
        return daemon;
      },
      get containerd() {
        return containerd;
      },
      get reader() {
        return latestReader();
      },
      keeper: (previous) => {
        const other = async () => {
          const { pid } = daemon.status().keeper;
          return pid !== null && pid !== previous && (await isAlive(pid)) && pid;
        };
        return until(`${face}: the daemon has a keeper`, other, { limitMs: keeperLimitMs, intervalMs: 20 });
      },
      async restartDaemon() {
        daemon = await startSnapshotter(setting, root, signal);
      },
      async restartContainerd() {
        containerd = await startOwnContainerd();
      },
      async replaceReader(seed) {
        await latestReader().remove(containerd);
        await startOwnReader(seed);
      },
      verify() {
        const dataPath = join(root, 'layers', image.digest.slice('sha256:'.length), 'data');
        return findWrong(latestReader().rootfs, dataPath, image.number);
      },
      async takeDown(reads) {
        await latestReader().remove(containerd);
        await addReads(reads);
        await removeImage(containerd, image.reference, parent, signal);
        const snapshots = await listSnapshots(daemon.address);
        await containerd.stop();
        const code = await daemon.stop('SIGINT');
        const networkNamespaces = new Set(readers.map((reader) => reader.networkNamespace));
        const left = [
          ...snapshots,
          ...(code === 0 ? [] : [`the daemon ended with ${code}`]),
          ...(await findRemains({ directory, diskPath: disk.path, stateRoot: root, idPrefix, networkNamespaces })),
        ];
        if (left.length > 0) return left;
        await disk.unmount();
        await rm(directory, { recursive: true });
        return mountsUnder(directory).map(({ path }) => `mount ${path}`);
      },
    };
  } catch (error) {
    await destroy();
    throw error;
  }
}

function startSnapshotter({ directory, face }: NodeSetting, root: string, signal: AbortSignal) {
  const config = {
    disable_verification: true,
    noprefetch: true,
    no_background_fetch: true,
    cache: { adaptive_fetch: false },
    blob: { fetching_timeout_sec: fetchLimitSec, max_retries: 3, max_wait_msec: 500 },
    resolver: { request_timeout_sec: 5 },
    mount: { backend: face },
  };
  return startDaemon({ directory, root, config }, signal);
}

function startContainerd(
  setting: NodeSetting,
  directory: string,
  snapshotterAddress: string,
  signal: AbortSignal,
): Promise<Containerd> {
  const registryAddress = setting.image.reference.split('/')[0]!;
  const logPath = join(setting.directory, 'containerd.log');
  return Containerd.start({ directory, snapshotter, snapshotterAddress, registryAddress, logPath }, signal);
}

/** The registry may be dead just then, as it may be for a kubelet. Resolves to the name of the top layer's snapshot. */
async function pull(containerd: Containerd, reference: string, signal: AbortSignal): Promise<string> {
  const pullLazily = async () => {
    await containerd.pull(reference, signal);
    const image = await containerd.readImage(reference, signal);
    const { downloaded } = await containerd.prove(image, signal);
    if (downloaded.length === 0) return image.chainIds.at(-1)!;
    await containerd.client.cri.removeImage({ image: { image: reference } });
    throw new Error(`not lazy: ${downloaded.map(describeDownloaded).join('; ')}`);
  };
  return await until(`${reference} is pulled`, pullLazily, { limitMs: pullLimitMs, intervalMs: 500, signal });
}

/** containerd then collects all snapshots, which no longer have an owner, through the daemon that it first must have dialled again. */
async function removeImage(containerd: Containerd, reference: string, key: string, signal: AbortSignal): Promise<void> {
  const limits = { limitMs: removeLimitMs, intervalMs: 100, signal };
  await until('containerd reaches the daemon', () => containerd.client.snapshots.usage({ snapshotter, key }), limits);
  await containerd.client.cri.removeImage({ image: { image: reference } }, { signal, timeoutMs: removeLimitMs });
}
