import type { Workload } from '../../../workloads/workload.ts';
import { openSandbox, requireLazy, type RunningCell, withCell } from '../../cell/sandbox.ts';
import type { Link } from '../../link/link.ts';
import type { Mode } from '../../run/mode.ts';
import { readAll, readAllSays } from './images.ts';
import type { ScaleCost } from './summary.ts';

export interface ScaleRequest {
  readonly mode: Mode;
  readonly link: Link;
  readonly stateDir: string;
  /** `repository:tag`, each pulled once. */
  readonly images: readonly string[];
  /** On the first image, all at once. */
  readonly containerCount: number;
}

const containerLimitMs = 300_000;

/** Pulls all images at once, then starts all containers at once, cold, in a cell of its own. Throws HarnessError if any of them fails. */
export async function measureScale(request: ScaleRequest, signal: AbortSignal): Promise<ScaleCost> {
  const { mode, link, images, containerCount } = request;
  const { snapshotter, daemonConfig } = mode;
  const setting = { snapshotter, daemonConfig, registryAddress: link.address, isCold: true };
  const references = images.map((image) => `${link.address}/${image}`);
  const measure = async (running: RunningCell): Promise<ScaleCost> => {
    await link.reset();
    const pullMs = await timed(() => inParallel(references, (reference) => running.containerd.pull(reference, signal)));
    const layerDigests = new Set<string>();
    for (const reference of references) {
      const pulled = await running.containerd.readImage(reference, signal);
      if (snapshotter === 'stargz') await requireLazy(running, reference, pulled, signal);
      for (const { digest } of pulled.layers) layerDigests.add(digest);
    }
    const afterPull = await running.daemon?.cost();
    const runMs = await timed(() => runContainers(running, references[0]!, containerCount, signal));
    const wire = await link.counters();
    const cost = await running.daemon?.cost();
    return {
      images: images.length,
      layers: layerDigests.size,
      containers: containerCount,
      pullMs,
      runMs,
      wireBytes: wire.bytes,
      wireRequests: wire.requests,
      daemonCpuMs: cost?.cpuMs,
      daemonRssAfterPullKib: afterPull?.rssPeakKib,
      daemonRssPeakKib: cost?.rssPeakKib,
      keeperRssPeakKib: cost?.childrenRssPeakKib,
    };
  };
  return await withCell(openSandbox(request.stateDir), setting, measure, signal);
}

async function runContainers(
  running: RunningCell,
  reference: string,
  count: number,
  signal: AbortSignal,
): Promise<void> {
  const workload: Workload = {
    name: 'read-all',
    title: 'reads every file',
    image: { name: reference, directory: '', parent: undefined },
    command: readAll,
    env: [],
    stdin: undefined,
    ready: { kind: 'exit', stdout: readAllSays },
    timeoutMs: containerLimitMs,
  };
  const pulled = await running.containerd.readImage(reference, signal);
  await inParallel(Array.from({ length: count }), async () => {
    const container = await running.prepareContainer(workload);
    await container.create(pulled, signal);
    await container.runUntilReady(signal);
  });
}

/** Waits for all of them, then throws what failed first. */
async function inParallel<T>(items: readonly T[], use: (item: T) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(items.map(use));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function timed(use: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await use();
  return performance.now() - startedMs;
}
