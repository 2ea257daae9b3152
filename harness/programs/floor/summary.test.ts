import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildSample, type Sample } from '../../../measurements/sample.ts';
import { compareWithFloor, limitsOf } from './summary.ts';

function sample(workload: string, mode: string, runMs: number, wireBytes: number): Sample {
  const identity = { runId: 'r', sample: 1, order: 1, workload, mode, rttMs: 30, bandwidthMbps: 200, startedAt: '' };
  return buildSample(identity, { ok: true, pullMs: 100, createMs: 0, runMs, wireBytes });
}

test('the floor is three round trips, the needed bytes and a warm run', () => {
  const samples = [
    ...[sample('a', 'legacy', 110, 9e6), sample('a', 'estargz', 300, 3e6), sample('a', 'estargz', 500, 3e6)],
    sample('b', 'estargz', 500, 3e6),
  ];
  const needed = new Map([
    ['a', 2_500_000],
    ['b', 1],
  ]);
  const rows = compareWithFloor(samples, 'estargz', needed, { rttMs: 30, bandwidthMbps: 200 });
  assert.deepEqual(rows, [
    {
      ...{ workload: 'a', n: 2, neededBytes: 2_500_000, warmRunMs: 110, floorMs: 300, totalMs: 500 },
      ...{ overFloor: 500 / 300, wireBytes: 3e6, wireOverNeeded: 1.2 },
    },
  ]);
  assert.deepEqual(
    limitsOf(rows).map(({ bound, met }) => [bound, met]),
    [
      [1.35, false],
      [1.15, false],
    ],
  );
});
