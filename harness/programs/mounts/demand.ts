import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { convertImage } from '../../../snapshotter/convert/image.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { RegistryError } from '../../../snapshotter/registry/error.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import { type Sandbox, openSandbox, type RunningCell, requireLazy, withCell } from '../../cell/sandbox.ts';
import { mountSnapshot } from '../../cell/snapshot-mount.ts';
import { HarnessError, messageOf } from '../../cli/error.ts';
import { pushImage } from '../../images/synthetic-image.ts';
import { type Random, shuffle } from '../../../measurements/stats/random.ts';
import type { MountSample } from './measure.ts';
import { tarAway } from './operations.ts';
import type { BenchTree } from './tree.ts';

export interface DemandRequest {
  readonly stateDir: string;
  readonly registryAddress: string;
  /** The image is built below it. */
  readonly directory: string;
  readonly tree: BenchTree;
  readonly backends: readonly string[];
  readonly rounds: number;
  readonly random: Random;
  readonly say: (text: string) => void;
}

export const demandOperation = { name: 'demand', title: 'pull a 300 MB layer, tar it', maxRatio: 2 };
/** Directories of 1,000 files, which raise the 220 MB of Debian to 300 MB. */
const fileDirectories = 19;
const tag = `base-and-${fileDirectories}`;

/**
 * An image of one layer of 300 MB, from a registry on loopback without a link. One side is pulled and unpacked by containerd's
 * overlayfs, then read by tar. The other is pulled lazily, without a prefetch landmark or background fill, and read by tar, so
 * every byte is fetched on demand. Caches are dropped before each.
 */
export async function measureDemand(request: DemandRequest, signal: AbortSignal): Promise<MountSample[]> {
  const { backends, rounds, random, say } = request;
  await ensureImage(request, signal);
  const samples: MountSample[] = [];
  const absent = new Set<string>();
  for (let round = 1; round <= rounds; round++) {
    for (const backend of shuffle(['overlayfs', ...backends], random)) {
      if (absent.has(backend)) continue;
      try {
        const durationMs = await pullAndRead(openSandbox(request.stateDir), request.registryAddress, backend, signal);
        say(`demand fill ${round}/${rounds}, ${backend}: ${(durationMs / 1000).toFixed(1)} s`);
        samples.push({ operation: demandOperation.name, condition: 'demand', backend, sample: round, durationMs });
      } catch (error) {
        signal.throwIfAborted();
        if (backend === 'overlayfs') throw error;
        absent.add(backend);
        say(`demand fill, ${backend}: left out, it failed: ${messageOf(error)}`);
      }
    }
  }
  return samples;
}

async function ensureImage(
  { directory, registryAddress: address, tree, say }: DemandRequest,
  signal: AbortSignal,
): Promise<void> {
  const client = new RegistryClient();
  const [legacy, lazy] = [`${address}/demand:legacy-${tag}`, `${address}/demand:estargz-${tag}`];
  try {
    const isThere = await client.fetchManifest(parseReference(lazy), signal).then(
      () => true,
      (error: unknown) => {
        if (error instanceof RegistryError && error.code === 'not-found') return false;
        throw error;
      },
    );
    if (isThere) return;
    say('an image of one layer of 300 MB, and its eStargz twin');
    const layers = [(root: string) => fillLayer(root, tree)];
    await pushImage(client, { reference: legacy, layers, scratch: directory }, signal);
    await convertImage(client, parseReference(legacy), parseReference(lazy), { format: 'estargz', signal });
  } finally {
    await client.close();
  }
}

async function fillLayer(root: string, { path, baseTarPath }: BenchTree): Promise<void> {
  await execa('tar', ['-xpf', baseTarPath, '--numeric-owner', '-C', root]);
  await mkdir(join(root, 'srv/files'), { recursive: true });
  const directories = Array.from({ length: fileDirectories }, (_, index) => join(path, `srv/files/d${index}`));
  await execa('cp', ['-a', ...directories, join(root, 'srv/files')]);
}

async function pullAndRead(sandbox: Sandbox, address: string, backend: string, signal: AbortSignal): Promise<number> {
  const isLazy = backend !== 'overlayfs';
  const daemonConfig = isLazy ? demandConfig(backend) : undefined;
  const snapshotter = isLazy ? 'stargz' : 'overlayfs';
  const setting = { snapshotter, daemonConfig, registryAddress: address, isCold: true } as const;
  const image = `${address}/demand:${isLazy ? 'estargz' : 'legacy'}-${tag}`;
  const measure = async (running: RunningCell): Promise<number> => {
    const start = performance.now();
    await running.containerd.pull(image, signal);
    const pulled = await running.containerd.readImage(image, signal);
    const target = await mountSnapshot(sandbox, running, pulled, snapshotter, signal);
    await tarAway(target, signal);
    const durationMs = performance.now() - start;
    const kind = await running.mountKind();
    await execa('umount', [target], { timeout: 60_000 });
    if (kind !== backend) throw new HarnessError('not-lazy', `asked for ${backend}, the mount was ${kind}`);
    if (isLazy) await requireLazy(running, image, pulled, signal);
    return durationMs;
  };
  return withCell(sandbox, setting, measure, signal);
}

/** config.toml of the daemon that fills the layer. */
export function demandConfig(backend: string): Readonly<Record<string, unknown>> {
  return { no_background_fetch: true, mount: { backend } };
}
