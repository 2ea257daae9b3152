import { hash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LayerSources } from '../../snapshotter/layers/layer-sources.ts';
import type { RegistryClient } from '../../snapshotter/registry/client.ts';
import type { Digest } from '../../snapshotter/registry/digest.ts';
import { noFetchMetrics } from '../../snapshotter/store/metrics.ts';
import { InflatePool } from '../../snapshotter/store/inflate-pool.ts';
import { FetchScheduler } from '../../snapshotter/store/scheduler.ts';

/** Without prefetch and background fill, so that requests are countable. */
const config = {
  noprefetch: true,
  prefetchSizeBytes: 0,
  noBackgroundFetch: true,
  disableVerification: false,
  allowNoVerification: false,
  resolveTtlMs: 60_000,
  cacheLimitBytes: 2 ** 30,
  opaqueXattr: 'trusted',
  adaptiveFetch: true,
  treeMemoryBytes: 2 ** 28,
} as const;

/** Follows the daemon's path from a labelled request to content on disk, without a mount; returns the content's digest. */
export async function readLayerData(
  client: RegistryClient,
  host: string,
  { layerDigest, tocDigest }: { readonly layerDigest: Digest; readonly tocDigest: Digest },
  signal: AbortSignal,
): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'differential-layer-'));
  const scheduler = new FetchScheduler();
  const inflaters = new InflatePool();
  const log = { info: () => {}, warn: () => {} };
  const sources = new LayerSources(
    { root, registry: client, scheduler, inflaters, config, log, metrics: noFetchMetrics },
    () => {},
  );
  try {
    const siblings = [layerDigest];
    const reference = `${host}/team/lazy:1`;
    const { store, memory } = await sources.open({
      reference,
      digest: layerDigest,
      siblings,
      tocDigest,
      skipVerify: false,
    });
    try {
      await store.ensure(0, store.table.dataSizeBytes, 'demand', signal);
      return hash('sha256', (await readFile(store.dataPath)).subarray(0, store.table.dataSizeBytes), 'hex');
    } finally {
      await store.close();
      memory.close();
    }
  } finally {
    sources.close();
    scheduler.close();
    await inflaters.close();
    await rm(root, { recursive: true, force: true });
  }
}
