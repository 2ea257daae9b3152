import { readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { readWholeToc } from '../../estargz/toc.ts';
import { digestOf } from '../../registry/digest.ts';
import type { WindowPolicy } from '../fetch-window.ts';
import type { LayerMeta } from '../layer-directory.ts';
import { InflatePool } from '../inflate-pool.ts';
import { LayerStore } from '../layer-store.ts';
import { noFetchMetrics } from '../metrics.ts';
import { FetchScheduler } from '../scheduler.ts';
import { buildTestBlob, pseudoRandomBytes, type TestBlob, type TestBlobOptions, type TestFile } from './blob.ts';
import { type MemorySource, memorySource } from './memory-source.ts';
import { buildTestTable, layoutOf } from './table.ts';

export const limit = { timeout: 20_000 };
export const signal = new AbortController().signal;

/** A store of one blob in memory, closed and deleted when the test ends. */
export interface StoreBench {
  readonly root: string;
  readonly blob: TestBlob;
  readonly source: MemorySource;
  readonly scheduler: FetchScheduler;
  readonly inflaters: InflatePool;
  readonly store: LayerStore;
  reopen(): Promise<LayerStore>;
}

export interface StoreBenchOptions extends TestBlobOptions {
  readonly policy?: WindowPolicy;
  readonly pieceBytes?: number;
  /** Of the inflate pool. */
  readonly threads?: number;
}

export function someFiles(count: number, sizeBytes: number): TestFile[] {
  return Array.from({ length: count }, (_, at) => ({
    name: `f${String(at).padStart(4, '0')}`,
    content: pseudoRandomBytes(sizeBytes, at),
  }));
}

export async function openBench(
  t: TestContext,
  files: readonly TestFile[],
  options: StoreBenchOptions = {},
): Promise<StoreBench> {
  const root = await mkdtemp(join(tmpdir(), 'layer-store-'));
  const blob = buildTestBlob(files, options);
  const source = memorySource(blob.bytes, { pieceBytes: options.pieceBytes ?? 16 * 1024 });
  const scheduler = new FetchScheduler({ quietMs: 0 });
  const inflaters = new InflatePool({ threads: options.threads ?? 1 });
  const tree = {
    table: buildTestTable(layoutOf(blob.members), !options.withoutDigests),
    landmark: undefined,
    unverifiableChunkCount: 0,
    hasMarks: false,
    implied: new Uint32Array(),
    replaced: [],
  };
  const context = {
    source,
    scheduler,
    inflaters,
    link: scheduler.link('test'),
    metrics: noFetchMetrics,
    ...(options.policy ? { policy: options.policy } : {}),
  };
  const build = async (toc: Uint8Array, meta: LayerMeta): Promise<typeof tree> => {
    if (digestOf(readWholeToc(toc, meta.footer)) !== meta.tocDigest) throw new Error('another TOC');
    return tree;
  };
  const opened: LayerStore[] = [];
  const store = await LayerStore.create(
    root,
    {
      digest: blob.digest,
      reference: 'registry.test/image:1',
      blobSizeBytes: blob.bytes.length,
      footer: blob.footer,
      tocDigest: blob.tocDigest,
      toc: blob.bytes.subarray(blob.footer.tocOffset, blob.footer.tocEnd),
      tree,
    },
    context,
  );
  opened.push(store);
  t.after(async () => {
    for (const one of opened) await one.close();
    scheduler.close();
    await inflaters.close();
    await rm(root, { recursive: true, force: true });
  });
  return {
    root,
    blob,
    source,
    scheduler,
    inflaters,
    store,
    async reopen() {
      const again = await LayerStore.open(root, blob.digest, build, () => context);
      opened.push(again);
      return again;
    },
  };
}

export function readFile(store: LayerStore, at: number): Buffer {
  const inode = at + 2;
  const bytes = Buffer.alloc(store.table.sizeBytes[inode]!);
  readSync(store.dataFd, bytes, 0, bytes.length, store.table.dataOffset[inode]!);
  return bytes;
}

export function ensureFile(store: LayerStore, at: number, priority: 'demand' | 'prefetch' = 'demand'): Promise<void> {
  return store.ensure(store.table.dataOffset[at + 2]!, store.table.sizeBytes[at + 2]!, priority, signal);
}
