import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { mountsUnder } from '../../../snapshotter/platform/mountinfo.ts';
import { startRegistry } from '../../../testkit/registry.ts';
import { openScratch } from '../../../testkit/scratch.ts';
import { mountNames } from '../../cli/options.ts';
import { pushLayerImages } from './images.ts';
import { measureMemory, workNames } from './measure.ts';
import { limitsOf, type MemoryRow } from './summary.ts';

const timeout = 120_000;

test('a daemon is measured before and after the same work, and nothing is left of it', { timeout }, async (t) => {
  const stateDir = openScratch(t, 'mem');
  const registry = await startRegistry(t);
  const images = await pushLayerImages(3, { registryAddress: registry.host, scratch: stateDir }, t.signal);
  for (const face of mountNames) {
    for (const work of workNames) {
      const request = { face, work, images, warmUpRounds: 1, rounds: 1, stateDir };
      const row = await measureMemory(request, t.signal);
      assert.deepEqual([row.face, row.work, row.perRound], [face, work, work === 'images' ? 3 : 200]);
      for (const bytes of [row.heapBeforeBytes, row.heapAfterBytes]) assert.ok(bytes > 1e6 && bytes < 1e9, `${bytes}`);
      for (const kib of [row.rssBeforeKib, row.rssAfterKib]) assert.ok(kib > 10_000 && kib < 1e6, `${kib}`);
      assert.deepEqual(mountsUnder(stateDir), []);
      assert.deepEqual(readdirSync(stateDir), []);
    }
  }
});

test('a limit applies to the sample that grew the most', () => {
  const row = (heapAfterBytes: number, rssAfterKib: number): MemoryRow => ({
    face: 'fuse',
    work: 'images',
    sample: 1,
    rounds: 2,
    perRound: 50,
    heapBeforeBytes: 10_000_000,
    heapAfterBytes,
    rssBeforeKib: 100_000,
    rssAfterKib,
  });
  assert.deepEqual(
    limitsOf([row(10_100_000, 101_000), row(10_700_000, 100_500)]).map(({ value, unit, met }) => [value, unit, met]),
    [
      [700, 'kB', false],
      [1000, 'KiB', true],
    ],
  );
});
