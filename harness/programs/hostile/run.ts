import { setTimeout as delay } from 'node:timers/promises';
import type { HostileCounts, HostileProxy } from '../../../snapshotter/registry/testing/hostile-proxy.ts';
import type { Workload } from '../../../workloads/workload.ts';
import { type Sandbox, type RunningCell, requireLazy, withCell } from '../../cell/sandbox.ts';
import type { Mode } from '../../run/mode.ts';
import { cdnLifetimeMs, countsBetween, pullPatiently } from './weather.ts';

export interface HostileRun {
  /** What the proxy saw and did meanwhile. */
  readonly counts: HostileCounts;
  readonly pullMs: number;
  readonly runMs: number;
}

/** Pulls and runs a workload through the proxy until it is ready, as lazily as a cell does; throws where it does not work. */
export async function runThrough(
  proxy: HostileProxy,
  sandbox: Sandbox,
  workload: Workload,
  imageName: string,
  { snapshotter, daemonConfig }: Mode,
  signal: AbortSignal,
): Promise<HostileRun> {
  const before = { ...proxy.counts };
  const setting = { snapshotter, daemonConfig, registryAddress: proxy.host, isCold: false };
  const image = `${proxy.host}/${imageName}`;
  const run = async (running: RunningCell): Promise<HostileRun> => {
    const container = await running.prepareContainer(workload);
    const startedMs = performance.now();
    await pullPatiently(running.containerd, image, signal);
    const pulledMs = performance.now();
    // Started later than pulled, as containers often are: the URLs that the pull was redirected to are stale by then.
    await delay(cdnLifetimeMs, undefined, { signal });
    const pulled = await running.containerd.readImage(image, signal);
    await container.create(pulled, signal);
    const createdMs = performance.now();
    await container.runUntilReady(signal);
    const readyMs = performance.now();
    const counts = countsBetween(before, { ...proxy.counts });
    await requireLazy(running, image, pulled, signal);
    return { counts, pullMs: pulledMs - startedMs, runMs: readyMs - createdMs };
  };
  return withCell(sandbox, setting, run, signal);
}
