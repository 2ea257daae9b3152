import { setTimeout as delay } from 'node:timers/promises';
import type { SimulatorCounts } from '../../../testkit/registry-simulator/journal.ts';
import type { RegistrySimulator } from '../../../testkit/registry-simulator/simulator.ts';
import type { Workload } from '../../../workloads/workload.ts';
import { type Sandbox, type RunningCell, requireLazy, withCell } from '../../cell/sandbox.ts';
import type { Mode } from '../../run/mode.ts';
import { cdnLifetimeMs, countsBetween, pullPatiently } from './weather.ts';

export interface HostileRun {
  /** What the simulator saw and did meanwhile. */
  readonly counts: SimulatorCounts;
  readonly pullMs: number;
  readonly runMs: number;
}

/** Pulls a workload's image lazily from the simulator and runs it until it is ready; throws if it is not mounted lazily. */
export async function runThrough(
  simulator: RegistrySimulator,
  sandbox: Sandbox,
  workload: Workload,
  imageName: string,
  { snapshotter, daemonConfig }: Mode,
  signal: AbortSignal,
): Promise<HostileRun> {
  const before = { ...simulator.counts };
  const setting = { snapshotter, daemonConfig, registryAddress: simulator.host, isCold: false };
  const image = `${simulator.host}/${imageName}`;
  const run = async (running: RunningCell): Promise<HostileRun> => {
    const container = await running.prepareContainer(workload);
    const startedMs = performance.now();
    await pullPatiently(running.containerd, image, signal);
    const pulledMs = performance.now();
    // Containers often start long after the pull: by then the URLs that the pull was redirected to have expired.
    await delay(cdnLifetimeMs, undefined, { signal });
    const pulled = await running.containerd.readImage(image, signal);
    await container.create(pulled, signal);
    const createdMs = performance.now();
    await container.runUntilReady(signal);
    const readyMs = performance.now();
    const counts = countsBetween(before, { ...simulator.counts });
    await requireLazy(running, image, pulled, signal);
    return { counts, pullMs: pulledMs - startedMs, runMs: readyMs - createdMs };
  };
  return withCell(sandbox, setting, run, signal);
}
