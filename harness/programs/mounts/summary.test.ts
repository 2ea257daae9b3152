import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MountSample } from './measure.ts';
import { limitsOf, summarize } from './summary.ts';

const sample = (backend: string, round: number, durationMs: number): MountSample => ({
  operation: 'sequential',
  condition: 'warm',
  backend,
  sample: round,
  durationMs,
});

test('a ratio is the median of the rounds, each against overlayfs in the same round', () => {
  const samples = [
    ...[100, 200, 400].map((durationMs, round) => sample('overlayfs', round, durationMs)),
    ...[150, 260, 440].map((durationMs, round) => sample('fuse', round, durationMs)),
  ];
  const [plain, fuse] = summarize(samples);
  assert.equal(plain?.ratio, 1);
  assert.equal(plain?.maxRatio, undefined);
  assert.equal(fuse?.ratio, 1.3);
  assert.equal(fuse?.medianMs, 260);
  assert.equal(fuse?.maxRatio, 2);
});

test('a ratio above its bound misses the limit, and FUSE with other options is held to the bound of FUSE', () => {
  const lines = summarize([sample('overlayfs', 1, 100), sample('fuse-1', 1, 201), sample('erofs', 1, 110)]);
  assert.deepEqual(
    limitsOf(lines).map(({ name, value, bound, met }) => [name, value, bound, met]),
    [
      ['warm sequential read of 1 GiB, erofs', 1.1, 1.1, true],
      ['warm sequential read of 1 GiB, fuse-1', 2.01, 2, false],
    ],
  );
});

test('a round without a time of overlayfs gives no ratio', () => {
  assert.deepEqual(summarize([sample('fuse', 1, 100)]), []);
});
