import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Fetching, type FetchTiming, limitsOf, summarizeFetches } from './summary.ts';

const timing = (sample: number, fetching: Fetching, runMs: number, wireBytes: number): FetchTiming => ({
  ...{ workload: 'numpy', sample, fetching, runMs, wireBytes, readBytes: 100 },
  ...{ rttMs: 30, bandwidthMbps: 200, wireRequests: undefined, daemonCpuMs: undefined },
});

test('ratios are taken within a pair, so that a machine that slows down does not change them', () => {
  const timings = [
    ...[timing(1, 'adaptive', 40, 120), timing(1, 'single', 100, 100)],
    ...[timing(2, 'single', 1000, 100), timing(2, 'adaptive', 450, 160)],
    ...[timing(3, 'adaptive', 60, 170), timing(3, 'single', 100, 100)],
  ];
  assert.deepEqual(
    limitsOf(timings).map(({ value, met }) => [value, met]),
    [
      [0.45, true],
      [1.6, false],
    ],
  );
  assert.deepEqual(summarizeFetches(timings), [
    { fetching: 'adaptive', n: 3, runMedianMs: 60, wireBytesMedian: 160 },
    { fetching: 'single', n: 3, runMedianMs: 100, wireBytesMedian: 100 },
  ]);
});
