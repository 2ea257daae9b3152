import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildSample, type Sample } from '../../../measurements/sample.ts';
import { compareProfiles, describeProfile, limitsOf } from './summary.ts';

function sample(workload: string, mode: string, runMs: number, wireBytes: number): Sample {
  const identity = { runId: 'r', sample: 1, order: 1, workload, mode, rttMs: 30, bandwidthMbps: 200, startedAt: '' };
  return buildSample(identity, { ok: true, pullMs: 100, createMs: 0, runMs, wireBytes });
}

test('a workload is compared by the medians of its modes, if it has samples of each', () => {
  const samples = [
    ...[sample('a', 'stargz', 900, 9e6), sample('a', 'stargz+profile', 200, 5e6), sample('a', 'estargz', 100, 4e6)],
    ...[sample('a', 'stargz+profile', 400, 7e6), sample('a', 'stargz+lookup', 900, 9e6)],
    ...[sample('b', 'stargz', 1, 1), sample('b', 'stargz+profile', 1, 1), sample('b', 'estargz', 1, 1)],
  ];
  const profiles = new Map([
    ['a', 5000],
    ['b', 1],
  ]);
  const rows = compareProfiles(samples, profiles);
  assert.deepEqual(rows, [
    {
      ...{ workload: 'a', n: 2, profileBytes: 5000 },
      ...{ plainTotalMs: 1000, profiledTotalMs: 400, convertedTotalMs: 200, overPlain: 0.4, overConverted: 2 },
      ...{ plainPullMs: 100, soughtPullMs: 100, profiledPullMs: 100 },
      ...{ plainWireBytes: 9e6, profiledWireBytes: 6e6, convertedWireBytes: 4e6 },
    },
  ]);
  assert.deepEqual(
    limitsOf(rows).map(({ value, met }) => [value, met]),
    [
      [0.4, true],
      [1, true],
    ],
  );
  assert.match(
    describeProfile(rows[0]!),
    /^a: 1\.00 s and 9\.0 MB without, 0\.40 s and 6\.0 MB with a profile of 5000/,
  );
});
