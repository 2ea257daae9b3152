import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../testkit/until.ts';
import { buildTestBlob, pseudoRandomBytes, type TestBlob } from '../store/testing/blob.ts';
import type { MountedLayer } from './layer-request.ts';
import { limit, openBench, refusedFor, signal } from './testing/manager-bench.ts';
import { requestFor, testFiles, testRegistry } from './testing/registry.ts';
import { createTreeMemory } from '../builder/tree-memory.ts';

const mib = 2 ** 20;

/** Some kilobytes that expand to 120,000 directories, a tree of 25 MiB. */
function hostileBlob(seed: number): TestBlob {
  const entries = Array.from({ length: 60 }, (_, index) => ({
    name: `${seed}-${index}/${'d/'.repeat(2000)}f`,
    type: 'reg',
  }));
  return buildTestBlob([{ name: 'f', content: pseudoRandomBytes(10, seed) }], { entries });
}

test('memory is limited in total and per layer', limit, () => {
  const memory = createTreeMemory(100);
  const [first, second] = [memory.open(), memory.open()];
  first.take(50);
  assert.throws(() => first.take(1), { code: 'limit' });
  second.take(40);
  assert.throws(() => second.take(11), { code: 'limit' });
  assert.throws(() => memory.open().take(11), { code: 'limit' });
  first.give(10);
  second.take(10);
  assert.equal(memory.usedBytes, 90);
  for (const account of [first, first, second]) account.close();
  assert.equal(memory.usedBytes, 0);
});

test('a layer whose tree exceeds its share is refused, however small its TOC', limit, async (t) => {
  const hostile = hostileBlob(1);
  const honest = buildTestBlob(testFiles(50, 100));
  assert.ok(hostile.bytes.length < 64 * 1024);
  const { manager } = await openBench(t, testRegistry([hostile, honest]));
  const layers = manager({ treeMemoryBytes: 20 * mib });
  await assert.rejects(layers.mount(requestFor(hostile), signal), refusedFor('limit'));
  await layers.mount(requestFor(honest), signal);
});

test('concurrent layers share the budget, and return it', limit, async (t) => {
  const hostile = Array.from({ length: 8 }, (_, index) => hostileBlob(index));
  const { manager, face } = await openBench(t, testRegistry(hostile));
  const layers = manager({ treeMemoryBytes: 128 * mib });
  const outcomes = await Promise.allSettled(hostile.map((blob) => layers.mount(requestFor(blob), signal)));
  const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  assert.ok(reasons.length > 0 && reasons.length < 8, `${reasons.length} of 8 were refused`);
  for (const reason of reasons) assert.ok(refusedFor('limit')(reason), String(reason));
  const mounted = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const release = ({ digest, view }: MountedLayer): void => {
    layers.acquire(digest, view);
    layers.release(digest, view);
  };
  mounted.forEach(release);
  await until('the end of all', () => face.attached.size === 0, { limitMs: 10_000 });
  const refused = hostile.find(({ digest }) => mounted.every((one) => one.digest !== digest))!;
  await layers.mount(requestFor(refused), signal);
});

test('failed builds return their memory', limit, async (t) => {
  const broken = buildTestBlob(testFiles(20, 100), {
    entries: [
      { name: 'a', type: 'reg' },
      { name: 'a/b', type: 'reg' },
    ],
  });
  const { manager } = await openBench(t, testRegistry([broken]));
  const layers = manager({ treeMemoryBytes: 2 * mib });
  for (let attempt = 0; attempt < 20; attempt++)
    await assert.rejects(layers.mount(requestFor(broken), signal), refusedFor('corrupt'));
});
