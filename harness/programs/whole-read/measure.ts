import { randomFillSync } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { convertImage } from '../../../snapshotter/convert/image.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { RegistryError } from '../../../snapshotter/registry/error.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import { openSandbox, type RunningCell, requireLazy, withCell } from '../../cell/sandbox.ts';
import { mountSnapshot } from '../../cell/snapshot-mount.ts';
import { fillShell, pushImage } from '../../images/synthetic-image.ts';
import type { Link } from '../../link/link.ts';
import type { Mode } from '../../run/mode.ts';

export interface WholeReadCost {
  readonly pullMs: number;
  /** Mounting the root and reading the file from end to end. */
  readonly readMs: number;
  readonly totalMs: number;
  readonly wireBytes: number;
  readonly wireRequests: number | undefined;
  readonly daemonCpuMs: number | undefined;
  readonly daemonRssPeakKib: number | undefined;
}

const repository = 'weights';
const weightsPath = 'srv/weights.bin';
const pieceBytes = 64 * 1024 * 1024;

/** An image with one file of `sizeMib` that does not compress, as weights do not, in each variant, unless it is there. */
export async function ensureWeights(
  sizeMib: number,
  { registryAddress, stateDir, say }: { registryAddress: string; stateDir: string; say: (text: string) => void },
  signal: AbortSignal,
): Promise<void> {
  const client = new RegistryClient();
  const at = (variant: string) => parseReference(`${registryAddress}/${imageOf(variant, sizeMib)}`);
  try {
    if (await isThere(client, at('estargz'), signal)) return;
    say(`an image with a file of ${sizeMib} MiB, and its lazy variants`);
    const layers = [fillShell, (root: string) => fillWeights(root, sizeMib)];
    const legacy = `${registryAddress}/${imageOf('legacy', sizeMib)}`;
    await pushImage(client, { reference: legacy, layers, scratch: stateDir }, signal);
    for (const format of ['stargz', 'estargz'] as const)
      await convertImage(client, at('legacy'), at(format), { format, signal });
  } finally {
    await client.close();
  }
}

function imageOf(variant: string, sizeMib: number): string {
  return `${repository}:${variant}-${sizeMib}`;
}

async function isThere(
  client: RegistryClient,
  reference: ReturnType<typeof parseReference>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await client.fetchManifest(reference, signal);
    return true;
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'not-found') return false;
    throw error;
  }
}

async function fillWeights(root: string, sizeMib: number): Promise<void> {
  await mkdir(join(root, 'srv'));
  await using file = await open(join(root, weightsPath), 'wx');
  const piece = Buffer.alloc(pieceBytes);
  for (let left = sizeMib * 1024 * 1024; left > 0; left -= pieceBytes)
    await file.writeFile(randomFillSync(piece).subarray(0, Math.min(left, pieceBytes)));
}

/** Pulls the image cold and reads the file, as a server does that needs all of its weights before it is ready. */
export async function measureWholeRead(
  { mode, sizeMib, link, stateDir }: { mode: Mode; sizeMib: number; link: Link; stateDir: string },
  signal: AbortSignal,
): Promise<WholeReadCost> {
  const sandbox = openSandbox(stateDir);
  const { snapshotter, daemonConfig, variant } = mode;
  const setting = { snapshotter, daemonConfig, registryAddress: link.address, isCold: true } as const;
  const image = `${link.address}/${imageOf(variant, sizeMib)}`;
  const measure = async (running: RunningCell): Promise<WholeReadCost> => {
    const cpuBefore = (await running.daemon?.cost())?.cpuMs ?? 0;
    await link.reset();
    const startedMs = performance.now();
    await running.containerd.pull(image, signal);
    const pulledMs = performance.now();
    const pulled = await running.containerd.readImage(image, signal);
    const target = await mountSnapshot(sandbox, running, pulled, snapshotter, signal);
    await execa('dd', [`if=${join(target, weightsPath)}`, 'of=/dev/null', 'bs=1M', 'status=none'], {
      cancelSignal: signal,
    });
    const endedMs = performance.now();
    const { bytes, requests } = await link.counters();
    const cost = await running.daemon?.cost();
    await execa('umount', [target], { timeout: 60_000 });
    if (snapshotter === 'stargz') await requireLazy(running, image, pulled, signal);
    return {
      pullMs: pulledMs - startedMs,
      readMs: endedMs - pulledMs,
      totalMs: endedMs - startedMs,
      wireBytes: bytes,
      wireRequests: requests,
      daemonCpuMs: cost === undefined ? undefined : cost.cpuMs - cpuBefore,
      daemonRssPeakKib: cost?.rssPeakKib,
    };
  };
  return await withCell(sandbox, setting, measure, signal);
}
