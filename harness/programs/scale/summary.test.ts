import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitsOf, type ScaleTiming, summarizeScale } from './summary.ts';

const base: ScaleTiming = {
  mode: 'legacy',
  sample: 1,
  rttMs: 30,
  bandwidthMbps: 200,
  images: 50,
  layers: 1024,
  containers: 16,
  pullMs: 9000,
  runMs: 1000,
  wireBytes: 1,
  wireRequests: 1,
  daemonCpuMs: undefined,
  daemonRssAfterPullKib: undefined,
  daemonRssPeakKib: undefined,
  keeperRssPeakKib: undefined,
};

test('the total is compared with legacy’s of the same round, the memory of daemon and keeper with the number of layers', () => {
  const rss = { daemonRssPeakKib: 300 * 1024, keeperRssPeakKib: 50 * 1024 };
  const summary = summarizeScale([
    base,
    { ...base, sample: 2, pullMs: 4000 },
    { ...base, mode: 'estargz', pullMs: 4000, ...rss },
    { ...base, mode: 'estargz', sample: 2, pullMs: 4000, daemonRssPeakKib: 100 * 1024, keeperRssPeakKib: 60 * 1024 },
  ]);
  const [legacy, lazy] = summary;
  assert.equal(legacy!.overLegacy, 1);
  assert.equal(lazy!.overLegacy, 0.75);
  assert.equal(lazy!.daemonRssPeakMaxKib, 300 * 1024);
  assert.equal(lazy!.keeperRssPeakMaxKib, 60 * 1024);
  const [total, memory] = limitsOf(summary, 1024);
  assert.equal(total!.met, true);
  assert.deepEqual([memory!.value, memory!.bound, memory!.met], [360, 330, false]);
});
