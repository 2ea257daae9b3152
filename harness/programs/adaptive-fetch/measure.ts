import { setTimeout as sleep } from 'node:timers/promises';
import type { Workload } from '../../../workloads/workload.ts';
import { type Sandbox, type RunningCell, requireLazy, withCell } from '../../cell/sandbox.ts';
import { stargz } from '../../cell/modes/stargz.ts';
import type { Link } from '../../link/link.ts';

export interface FetchCost {
  readonly runMs: number;
  /** Of the run phase, with what was still on its way when it ended. */
  readonly wireBytes: number;
  readonly wireRequests: number | undefined;
  readonly daemonCpuMs: number | undefined;
  /** Compressed bytes of the chunks that were read, by the daemon's own account; only where it was asked for. */
  readonly readBytes: number | undefined;
}

export interface FetchRequest {
  readonly sandbox: Sandbox;
  readonly link: Link;
  readonly workload: Workload;
  readonly image: string;
  readonly adaptiveFetch: boolean;
  /** Asks the daemon what was read; it then serves metrics, so it is not the daemon that a time is taken of. */
  readonly countReads?: boolean;
}

/** Requests that began before the end arrive within this. */
const settleMs = 500;

/** config.toml of the daemon on either side. */
export function fetchConfig(adaptiveFetch: boolean): Readonly<Record<string, unknown>> {
  return { ...stargz.daemonConfig, cache: { adaptive_fetch: adaptiveFetch } };
}

/** The run phase of a workload on a CRFS image, cold, with adaptive fetching or one chunk at a time. */
export async function measureFetch(request: FetchRequest, signal: AbortSignal): Promise<FetchCost> {
  const { sandbox, link, workload } = request;
  const daemonConfig = {
    ...fetchConfig(request.adaptiveFetch),
    ...(request.countReads === true ? { metrics_address: '127.0.0.1:0' } : {}),
  };
  const setting = { snapshotter: 'stargz', daemonConfig, registryAddress: link.address, isCold: true } as const;
  const image = `${link.address}/${request.image}`;
  const measure = async (running: RunningCell): Promise<FetchCost> => {
    const container = await running.prepareContainer(workload);
    await running.containerd.pull(image, signal);
    const pulled = await running.containerd.readImage(image, signal);
    await container.create(pulled, signal);
    const cpuBefore = (await running.daemon?.cost())?.cpuMs ?? 0;
    await link.reset();
    const startedMs = performance.now();
    await container.runUntilReady(signal);
    const runMs = performance.now() - startedMs;
    const cost = await running.daemon?.cost();
    await sleep(settleMs, undefined, { signal });
    const { bytes, requests } = await link.counters();
    await requireLazy(running, image, pulled, signal);
    return {
      runMs,
      wireBytes: bytes,
      wireRequests: requests,
      daemonCpuMs: cost === undefined ? undefined : cost.cpuMs - cpuBefore,
      readBytes: request.countReads === true ? await countReads(running, signal) : undefined,
    };
  };
  return withCell(sandbox, setting, measure, signal);
}

async function countReads({ daemon }: RunningCell, signal: AbortSignal): Promise<number> {
  const answer = await fetch(`http://${daemon!.status().listening.metrics}/debug/layers`, { signal });
  const layers = (await answer.json()) as readonly { readonly demandedBytes: number }[];
  return layers.reduce((sum, layer) => sum + layer.demandedBytes, 0);
}
