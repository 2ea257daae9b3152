import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../../measurements/stats/random.ts';
import { measureOperation } from './measure.ts';
import { operations } from './operations.ts';

test('each warm sample of several runs follows an uncounted run of the same view', async () => {
  const runs: string[] = [];
  const operation = { ...operations[0]!, warmRuns: 2, run: async (root: string) => void runs.push(root) };
  const views = ['overlayfs', 'erofs', 'fuse'].map((backend) => ({ backend, root: `/${backend}` }));
  const options = { rounds: 3, random: seededRandom(1) };
  const samples = await measureOperation(operation, 'warm', views, options, AbortSignal.timeout(10_000));
  const expected = samples.flatMap(({ backend }) => Array(3).fill(`/${backend}`));
  assert.deepEqual(runs, expected);
  for (const round of [1, 2, 3]) {
    const measured = samples.filter(({ sample }) => sample === round).map(({ backend }) => backend);
    assert.deepEqual(measured.sort(), ['erofs', 'fuse', 'overlayfs']);
  }
});

test('a failing tar rejects', async () => {
  const tar = operations.find(({ name }) => name === 'tar')!;
  await assert.rejects(tar.run('/nowhere', AbortSignal.timeout(10_000)));
});
