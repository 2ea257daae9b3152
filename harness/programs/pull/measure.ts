import { type Sandbox, type RunningCell, requireLazy, withCell } from '../../cell/sandbox.ts';
import type { Mode } from '../../run/mode.ts';
import type { Link } from '../../link/link.ts';

export interface PullCost {
  readonly layers: number;
  readonly pullMs: number;
  readonly wireRequests: number | undefined;
  readonly wireBytes: number;
  readonly daemonCpuMs: number | undefined;
  readonly daemonRssPeakKib: number | undefined;
}

/** Measures the pull phase alone, cold, in a cleared sandbox. Throws HarnessError 'not-lazy' if a layer was downloaded. */
export async function measurePull(
  sandbox: Sandbox,
  link: Link,
  image: string,
  { snapshotter, daemonConfig }: Mode,
  signal: AbortSignal,
): Promise<PullCost> {
  const setting = { snapshotter, daemonConfig, registryAddress: link.address, isCold: true };
  const reference = `${link.address}/${image}`;
  const measure = async (running: RunningCell): Promise<PullCost> => {
    await link.reset();
    const startedMs = performance.now();
    await running.containerd.pull(reference, signal);
    const pullMs = performance.now() - startedMs;
    const [wire, cost] = await Promise.all([link.counters(), running.daemon?.cost()]);
    const pulled = await running.containerd.readImage(reference, signal);
    await requireLazy(running, reference, pulled, signal);
    return {
      layers: pulled.layers.length,
      pullMs,
      wireRequests: wire.requests,
      wireBytes: wire.bytes,
      daemonCpuMs: cost?.cpuMs,
      daemonRssPeakKib: cost?.rssPeakKib,
    };
  };
  return withCell(sandbox, setting, measure, signal);
}
