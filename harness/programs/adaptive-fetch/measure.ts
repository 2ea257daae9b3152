import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Workload } from '../../../workloads/workload.ts';
import { type Sandbox, type RunningCell, requireLazy, withCell } from '../../cell/sandbox.ts';
import { stargz } from '../../cell/modes/stargz.ts';
import type { Link } from '../../link/link.ts';

export interface FetchCost {
  readonly runMs: number;
  /** Of the run phase, including what was in flight when it ended. */
  readonly wireBytes: number;
  readonly wireRequests: number | undefined;
  readonly daemonCpuMs: number | undefined;
  /** Compressed bytes of the chunks that were read, as counted by the daemon; undefined unless `countReads`. */
  readonly readBytes: number | undefined;
}

export interface FetchRequest {
  readonly sandbox: Sandbox;
  readonly link: Link;
  readonly workload: Workload;
  readonly image: string;
  readonly adaptiveFetch: boolean;
  /** Asks the daemon what was read. It then serves metrics, so the run is not to be used as a timing. */
  readonly countReads?: boolean;
  /** narrow: what the kernel uses while accesses are recorded and in a start from hot ranges. Default: usual. */
  readonly readahead?: 'narrow' | 'usual';
}

/** Requests in flight at the end of the run phase finish within this. */
const settleMs = 500;

/** config.toml of the daemon on either side of the comparison. */
export function fetchConfig(adaptiveFetch: boolean): Readonly<Record<string, unknown>> {
  return { ...stargz.daemonConfig, cache: { adaptive_fetch: adaptiveFetch } };
}

/** Measures the run phase of a workload on a stargz image, cold, with adaptive fetching or one chunk at a time. */
export async function measureFetch(request: FetchRequest, signal: AbortSignal): Promise<FetchCost> {
  const { sandbox, link, workload } = request;
  const daemonConfig = {
    ...fetchConfig(request.adaptiveFetch),
    ...(request.countReads === true ? { metrics_address: '127.0.0.1:0' } : {}),
    ...(request.readahead === 'narrow' ? { record_accesses: join(sandbox.directory, 'accesses') } : {}),
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

async function countReads({ own }: RunningCell, signal: AbortSignal): Promise<number> {
  const answer = await fetch(`http://${own!.status().listening.metrics}/debug/layers`, { signal });
  const layers = (await answer.json()) as readonly { readonly demandedBytes: number }[];
  return layers.reduce((sum, layer) => sum + layer.demandedBytes, 0);
}
