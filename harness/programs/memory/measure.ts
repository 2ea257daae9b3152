import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { openClient, type ServiceClient } from '../../../snapshotter/api/client.ts';
import type { Snapshots } from '../../../snapshotter/api/types/snapshots.ts';
import { HarnessError } from '../../cli/error.ts';
import type { MountName } from '../../cli/options.ts';
import { type SnapshotterDaemon, startDaemon } from '../../daemon/daemon.ts';
import { mountAt, unmountUnder } from '../../host/mounts.ts';
import { type LayerImages, probeContent, probeName } from './images.ts';
import { inspectable, openInspector } from './inspector.ts';
import type { Held, MemoryRow } from './summary.ts';

/** What is repeated until only what the daemon keeps for ever could still grow. */
export const workNames = ['images', 'snapshots'] as const;

export interface MemoryRequest {
  readonly face: MountName;
  readonly work: (typeof workNames)[number];
  readonly images: LayerImages;
  readonly warmUpRounds: number;
  readonly rounds: number;
  readonly stateDir: string;
}

/** Snapshots that are prepared, committed and removed in a round of `snapshots`. */
const snapshotsPerRound = 200;
const atOnce = 4;
/** The daemon unmounts a layer after it has answered Remove. */
const settleMs = 500;

/** Memory of a daemon after it has warmed up, and after more rounds of the same work; leaves nothing. */
export async function measureMemory(request: MemoryRequest, signal: AbortSignal): Promise<Omit<MemoryRow, 'sample'>> {
  const { face, work, images, warmUpRounds, rounds, stateDir } = request;
  const directory = await mkdtemp(join(stateDir, 'memory-'));
  let daemon: SnapshotterDaemon | undefined;
  try {
    daemon = await startDaemon(
      {
        directory,
        config: { disable_verification: true, no_background_fetch: true, mount: { backend: face } },
        env: inspectable,
      },
      signal,
    );
    using inspector = await openInspector(daemon.pid, daemon.logPath, signal);
    const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
    try {
      const round = work === 'images' ? imagesRound(snapshots, images, directory) : snapshotsRound(snapshots);
      const held = async (): Promise<Held> => {
        await new Promise((resolve) => setTimeout(resolve, settleMs));
        return { heapBytes: await inspector.collectGarbage(), rssKib: await readRssKib(daemon!.pid) };
      };
      for (let count = 0; count < warmUpRounds; count++) await round(signal);
      const before = await held();
      for (let count = 0; count < rounds; count++) await round(signal);
      const after = await held();
      return {
        face,
        work,
        rounds,
        perRound: work === 'images' ? images.layers.length : snapshotsPerRound,
        heapBeforeBytes: before.heapBytes,
        heapAfterBytes: after.heapBytes,
        rssBeforeKib: before.rssKib,
        rssAfterKib: after.rssKib,
      };
    } finally {
      snapshots.close();
    }
  } finally {
    await unmountUnder(directory);
    await daemon?.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

type Round = (signal: AbortSignal) => Promise<void>;

/** All images mounted at once, each read, then all removed. */
function imagesRound(snapshots: ServiceClient<Snapshots>, images: LayerImages, directory: string): Round {
  return async (signal) => {
    const mountImage = async (digest: string, index: number): Promise<string> => {
      await prepareLazily(snapshots, images.reference, digest, index, signal);
      const { mounts } = await snapshots.prepare({ key: `run-${index}`, parent: `chain-${index}` }, { signal });
      const target = join(directory, `image-${index}`);
      await mountAt(mounts, target);
      const content = await readFile(join(target, probeName), 'utf8');
      if (content === probeContent(index)) return target;
      throw new HarnessError('not-ready', `layer ${digest} reads as ${JSON.stringify(content)}`);
    };
    const targets = await Promise.all(images.layers.map(mountImage));
    for (const [index, target] of targets.entries()) {
      await execa('umount', [target], { timeout: 30_000 });
      await snapshots.remove({ key: `run-${index}` }, { signal });
      await snapshots.remove({ key: `chain-${index}` }, { signal });
    }
    await snapshots.cleanup({}, { signal });
  };
}

/** As containerd's CRI plugin asks for a layer that may be mounted instead of downloaded. */
async function prepareLazily(
  snapshots: ServiceClient<Snapshots>,
  reference: string,
  digest: string,
  index: number,
  signal: AbortSignal,
): Promise<void> {
  const labels = {
    'containerd.io/snapshot.ref': `chain-${index}`,
    'containerd.io/snapshot/cri.image-ref': reference,
    'containerd.io/snapshot/cri.layer-digest': digest,
    'containerd.io/snapshot/cri.image-layers': digest,
  };
  const code = await snapshots.prepare({ key: `pull-${index}`, labels }, { signal }).then(
    () => 'OK',
    (error: { code?: string }) => error.code,
  );
  signal.throwIfAborted();
  if (code !== 'ALREADY_EXISTS') throw new HarnessError('not-lazy', `layer ${digest}: Prepare ended with ${code}`);
}

function snapshotsRound(snapshots: ServiceClient<Snapshots>): Round {
  let next = 0;
  return async (signal) => {
    const churn = async (): Promise<void> => {
      const key = `churn-${next++}`;
      await snapshots.prepare({ key }, { signal });
      await snapshots.commit({ name: `${key}-c`, key }, { signal });
      await snapshots.remove({ key: `${key}-c` }, { signal });
    };
    for (let done = 0; done < snapshotsPerRound; done += atOnce) {
      await Promise.all(Array.from({ length: atOnce }, churn));
    }
    await snapshots.cleanup({}, { signal });
  };
}

async function readRssKib(pid: number): Promise<number> {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1]);
}
