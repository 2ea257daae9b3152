import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import type { BuiltTree } from '../tree/build.ts';
import { assertContentInProportion } from './content-limit.ts';
import { LayerStore } from './layer-store.ts';
import { limit, openBench, someFiles } from './testing/store-bench.ts';

const mib = 1024 * 1024;

test('content may be what gzip could make of the blob, and 64 MiB of holes', limit, () => {
  assertContentInProportion(64 * mib, 0);
  assertContentInProportion(1032 * mib, mib);
  assert.throws(() => assertContentInProportion(1100 * mib, mib), { code: 'limit' });
  assert.throws(() => assertContentInProportion(2 ** 50, 46_000), { code: 'limit' });
});

test('a store is not made for a blob that would become gigabytes', limit, async (t) => {
  const { store, blob, root } = await openBench(t, someFiles(1, 100));
  const before = readdirSync(root);
  const table = { ...store.table, dataSizeBytes: 5_000 * mib };
  const layer = {
    ...store.meta,
    digest: `sha256:${'0'.repeat(64)}` as typeof blob.digest,
    toc: blob.toc,
    tree: { table, landmark: undefined, unverifiableChunkCount: 0 } as unknown as BuiltTree,
  };
  await assert.rejects(LayerStore.create(root, layer, {} as never), { code: 'limit', message: /taken lazily/ });
  assert.deepEqual(readdirSync(root), before);
});
