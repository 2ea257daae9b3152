import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '../../testkit/until.ts';
import { type Digest, digestHex, digestOf } from '../registry/digest.ts';
import { buildTestBlob } from '../store/testing/blob.ts';
import { evictLayers, reclaimLeaks } from './eviction.ts';
import { limit, openBench, signal, soon } from './testing/manager-bench.ts';
import { requestFor, testFiles, testRegistry } from './testing/registry.ts';

const none = (): boolean => false;
const mib = 1024 * 1024;

/** Layer directories of these sizes on disk; the first is the least recently used. */
async function makeLayers(t: TestContext, ...dataBytes: number[]): Promise<{ root: string; digests: Digest[] }> {
  const root = await mkdtemp(join(tmpdir(), 'eviction-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const digests = dataBytes.map((_, at) => digestOf(`layer ${at}`));
  for (const [at, digest] of digests.entries()) {
    const directory = join(root, digestHex(digest));
    await mkdir(directory);
    writeFileSync(join(directory, 'data'), Buffer.alloc(dataBytes[at]!, 'content'));
    writeFileSync(join(directory, 'meta.json'), '{}');
    utimesSync(join(directory, 'meta.json'), 1000 + at, 1000 + at);
  }
  return { root, digests };
}

test('evicts the least recently used layers first, and no more than necessary', limit, async (t) => {
  const { root, digests } = await makeLayers(t, mib, mib, mib, mib);
  assert.deepEqual(await evictLayers(root, 2.5 * mib, none), digests.slice(0, 2));
  assert.deepEqual(readdirSync(root).sort(), digests.slice(2).map(digestHex).sort());
});

test('counts the disk blocks of a layer, not the length of its sparse file', limit, async (t) => {
  const { root, digests } = await makeLayers(t, mib, mib);
  for (const digest of digests) {
    const fd = openSync(join(root, digestHex(digest), 'data'), 'r+');
    ftruncateSync(fd, 1024 * mib);
    closeSync(fd);
  }
  assert.deepEqual(await evictLayers(root, 3 * mib, none), []);
});

test('keeps a held layer even if it alone exceeds the limit', limit, async (t) => {
  const { root, digests } = await makeLayers(t, mib, 4 * mib, mib);
  assert.deepEqual(await evictLayers(root, 2 * mib, (digest) => digest === digests[1]), [digests[0], digests[2]]);
  assert.deepEqual(await evictLayers(root, 2 * mib, none), [digests[1]]);
});

test('leaves a store alone that is created while its predecessor is deleted', limit, async (t) => {
  const { root, digests } = await makeLayers(t, mib);
  const directory = join(root, digestHex(digests[0]!));
  const makeAnew = (): void => {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory);
    writeFileSync(join(directory, 'meta.json'), 'new');
  };
  await evictLayers(root, 0, () => {
    queueMicrotask(makeAnew);
    return false;
  });
  assert.deepEqual(readdirSync(directory), ['meta.json']);
});

test('removes what a crash left half deleted or half created at the next start', limit, async (t) => {
  const { root, digests } = await makeLayers(t, mib);
  await mkdir(join(root, '.new-x/y'), { recursive: true });
  assert.deepEqual(await reclaimLeaks(root), ['.new-x']);
  assert.deepEqual(readdirSync(root), [digestHex(digests[0]!)]);
});

test('evicts unused layers when a mounted one grows past the limit', limit, async (t) => {
  const [unused, growing] = [1, 2].map((seed) => buildTestBlob(testFiles(10, 50_000, seed * 50))) as [
    ReturnType<typeof buildTestBlob>,
    ReturnType<typeof buildTestBlob>,
  ];
  const { manager, root, logged } = await openBench(t, testRegistry([unused, growing]));
  const fill = async (blob: typeof unused) => {
    const layers = manager({ cacheLimitBytes: 800_000, noBackgroundFetch: false });
    await layers.mount(requestFor(blob), signal);
    await until('the whole layer', () => layers.debugLayers()[0]!.complete === true, soon);
    return layers;
  };
  await (await fill(unused)).close();
  await fill(growing);
  assert.equal(readdirSync(root).length, 2);
  await until('the deletion of unused layers', () => logged.includes('unused layers deleted'), soon);
  assert.deepEqual(readdirSync(root), [digestHex(growing.digest)]);
});
