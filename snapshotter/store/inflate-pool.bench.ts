import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Bench } from 'tinybench';
import type { BlobSource } from '../registry/blob-source.ts';
import { singlePolicy } from './fetch-window.ts';
import { InflatePool } from './inflate-pool.ts';
import { LayerStore } from './layer-store.ts';
import { noFetchMetrics } from './metrics.ts';
import { FetchScheduler } from './scheduler.ts';
import { buildTestBlob, pseudoRandomBytes } from './testing/blob.ts';
import { memorySource } from './testing/memory-source.ts';
import { buildTestTable, layoutOf } from './testing/table.ts';

const prefetchedBytes = 16 * 1024 * 1024;
const readBytes = 32 * 1024;
const readCount = 200;
const sides = [
  ['here', 0],
  ['by a thread', 1],
] as const;

/**
 * A prefetch of 16 MiB of content over a link that is never the bottleneck: what it takes of this thread's CPU time, how
 * long it lasts, and how long a reader waits for 32 KiB meanwhile. Members of 32 KiB are collected, of 4 MiB streamed.
 */
export function register(bench: Bench): () => Promise<void> {
  const pools: InflatePool[] = [];
  for (const sizeBytes of [32 * 1024, 4 * 1024 * 1024]) {
    const open = layerOpener(sizeBytes);
    for (const [where, threads] of sides) {
      const pool = new InflatePool({ threads });
      pools.push(pool);
      const name = `store: 16 MiB, members of ${sizeBytes / 1024} KiB inflated ${where}`;
      bench.add(`${name}: CPU time of this thread`, async () => {
        const layer = await open(pool);
        const before = process.threadCpuUsage();
        await layer.prefetch();
        const { user, system } = process.threadCpuUsage(before);
        await layer.close();
        return { overriddenDuration: (user + system) / 1000 };
      });
      bench.add(`${name}: duration`, async () => {
        const layer = await open(pool);
        const startedMs = performance.now();
        await layer.prefetch();
        const durationMs = performance.now() - startedMs;
        await layer.close();
        return { overriddenDuration: durationMs };
      });
      bench.add(`${name}: wait of a reader meanwhile`, async () => {
        const layer = await open(pool);
        let isDone = false;
        const prefetched = layer.prefetch().then(() => {
          isDone = true;
        });
        const startedMs = performance.now();
        let reads = 0;
        while (!isDone && reads < readCount) await layer.read(reads++);
        const durationMs = performance.now() - startedMs;
        await prefetched;
        await layer.close();
        return { overriddenDuration: durationMs / reads };
      });
    }
  }
  return async () => {
    for (const pool of pools) await pool.close();
  };
}

/** Makes stores of one layer: files to prefetch, whose members have this size, and files to read. */
function layerOpener(sizeBytes: number) {
  const content = pseudoRandomBytes(sizeBytes, 1);
  const small = pseudoRandomBytes(readBytes, 2);
  const prefetchedCount = prefetchedBytes / sizeBytes;
  const blob = buildTestBlob([
    ...Array.from({ length: prefetchedCount }, (_, at) => ({ name: `a${at}`, content })),
    ...Array.from({ length: readCount }, (_, at) => ({ name: `b${at}`, content: small })),
  ]);
  const table = buildTestTable(layoutOf(blob.members));
  const tree = {
    table,
    landmark: undefined,
    unverifiableChunkCount: 0,
    hasMarks: false,
    implied: new Uint32Array(),
    replaced: [],
  };
  const { digest, footer, tocDigest, bytes } = blob;
  const toc = bytes.subarray(footer.tocOffset, footer.tocEnd);
  const facts = {
    digest,
    reference: 'registry.test/bench:1',
    blobSizeBytes: bytes.length,
    footer,
    tocDigest,
    toc,
    tree,
  };

  return async (inflaters: InflatePool) => {
    const root = mkdtempSync(join(tmpdir(), 'inflate-bench-'));
    const scheduler = new FetchScheduler();
    const store = await LayerStore.create(root, facts, {
      source: socketLike(memorySource(bytes, { digest, pieceBytes: 64 * 1024 })),
      scheduler,
      inflaters,
      link: scheduler.link('bench'),
      policy: singlePolicy,
      metrics: noFetchMetrics,
    });
    return {
      prefetch: () => store.prefetch(blob.members[prefetchedCount]!.offset),
      read: (at: number) => store.ensure(table.dataOffset[prefetchedCount + at + 2]!, readBytes, 'demand'),
      async close() {
        await store.close();
        scheduler.close();
        rmSync(root, { recursive: true });
      },
    };
  };
}

/** Each piece comes in a turn of the event loop of its own. */
function socketLike(source: BlobSource): BlobSource {
  return {
    ...source,
    async *fetchRange(...range) {
      for await (const bytes of source.fetchRange(...range)) {
        await nextTurn();
        yield bytes;
      }
    },
  };
}
