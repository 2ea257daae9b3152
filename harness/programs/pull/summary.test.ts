import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PullTiming, splitLimitsOf } from './summary.ts';

const timing = (image: string, sample: number, pullMs: number): PullTiming => ({
  image,
  mode: 'estargz',
  layers: 2,
  sample,
  rttMs: 30,
  limitMs: 380,
  pullMs,
  wireRequests: 1,
  wireBytes: 1,
  daemonCpuMs: 1,
  daemonRssPeakKib: 1,
});

test('images of the same files are compared within their rounds', () => {
  const rows = [1, 2, 3].flatMap((sample) => [
    timing('split-2', sample, 100 * sample),
    timing('split-32', sample, [120, 300, 390][sample - 1]!),
    timing('layers-40', sample, 9999),
  ]);
  const limits = splitLimitsOf(rows, ['split-2', 'split-32']);
  assert.deepEqual(
    limits.map(({ value, bound, met }) => [value, bound, met]),
    [[1.3, 1.3, true]],
  );
});
