import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildSample, type Sample } from '../../../measurements/sample.ts';
import { comparePeers, limitsOf, renderComparisons } from './summary.ts';

function sample(workload: string, mode: string, daemonState: string, ms: readonly [number, number, number]): Sample {
  const [pullMs, createMs, runMs] = ms;
  const identity = { runId: 'r', sample: 1, order: 1, workload, mode, rttMs: 30, bandwidthMbps: 200, startedAt: '' };
  return buildSample(identity, { ok: true, daemonState, pullMs, createMs, runMs, wireBytes: 2_000_000 });
}

const samples = [
  sample('a', 'estargz', 'fresh', [100, 10, 90]),
  sample('a', 'peer:estargz', 'fresh', [200, 10, 190]),
  sample('b', 'estargz', 'fresh', [400, 0, 400]),
  sample('b', 'peer:estargz', 'fresh', [100, 0, 100]),
  sample('a', 'estargz', 'warm', [50, 0, 50]),
];

test('medians of both daemons stand side by side, with ratios of ours over the peer', () => {
  const comparisons = comparePeers(samples);
  assert.deepEqual(
    comparisons.map(({ workload, daemonState, totalMs, peerTotalMs, totalRatio, pullRatio }) => ({
      ...{ workload, daemonState, totalMs, peerTotalMs, totalRatio, pullRatio },
    })),
    [
      { workload: 'a', daemonState: 'fresh', totalMs: 200, peerTotalMs: 400, totalRatio: 0.5, pullRatio: 0.5 },
      { workload: 'b', daemonState: 'fresh', totalMs: 800, peerTotalMs: 200, totalRatio: 4, pullRatio: 4 },
    ],
  );
  assert.match(renderComparisons(comparisons), /a estargz fresh +0\.10 \/ 0\.20 .* 0\.50 +2\.0 \/ 2\.0/);
});

test('limits are geometric means over the workloads, and the worst of them', () => {
  const limits = limitsOf(comparePeers(samples), { rttMs: 30 });
  assert.deepEqual(
    limits.map(({ name, bound, met }) => ({ name, bound, met })),
    [
      { name: "total over the peer's, estargz, fresh daemons", bound: 0.55, met: false },
      { name: "total over the peer's, estargz, fresh daemons, the worst workload", bound: 0.75, met: false },
      { name: "pull over the peer's, estargz, fresh daemons", bound: 0.85, met: false },
    ],
  );
  const [total, worst, pull] = limits.map(({ value }) => value);
  for (const mean of [total!, pull!]) assert.ok(Math.abs(mean - Math.SQRT2) < 1e-9);
  assert.equal(worst, 4);
  const boundAt = (rttMs: number) => limitsOf(comparePeers(samples), { rttMs })[0]!.bound;
  assert.deepEqual([boundAt(0), boundAt(100)], [0.6, 0.5]);
});

test('a failed sample has no part in a median, and a cell without a partner no row', () => {
  const identity = {
    runId: 'r',
    sample: 2,
    order: 9,
    workload: 'a',
    mode: 'estargz',
    rttMs: 30,
    bandwidthMbps: 200,
    startedAt: '',
  };
  const failed = buildSample(identity, { ok: false, error: 'no', daemonState: 'fresh' });
  assert.deepEqual(comparePeers([...samples, failed]), comparePeers(samples));
  assert.equal(
    comparePeers(samples).some(({ daemonState }) => daemonState === 'warm'),
    false,
  );
});
