import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitsOf, summarizeWholeReads, type WholeReadTiming } from './summary.ts';

const timing = (sample: number, mode: string, totalMs: number): WholeReadTiming => ({
  ...{ sample, mode, totalMs, pullMs: totalMs / 2, readMs: totalMs / 2 },
  ...{ sizeMib: 100, rttMs: 0, bandwidthMbps: 1000, wireBytes: 1, wireRequests: 1 },
  ...{ daemonCpuMs: undefined, daemonRssPeakKib: undefined },
});

test('totals are compared within a round, and with what the link alone takes', () => {
  const summary = summarizeWholeReads([
    ...[timing(1, 'legacy', 2000), timing(1, 'stargz', 1000)],
    ...[timing(2, 'stargz', 3000), timing(2, 'legacy', 4000)],
    ...[timing(3, 'legacy', 1000), timing(3, 'stargz', 1200)],
  ]);
  assert.deepEqual(
    summary.map(({ mode, totalMs, overLegacy, linkShare }) => [mode, totalMs, overLegacy, linkShare?.toFixed(3)]),
    [
      ['legacy', 2000, 1, '0.419'],
      ['stargz', 1200, 0.75, '0.699'],
    ],
  );
  assert.deepEqual(
    limitsOf(summary).map(({ name, value, bound, met }) => ({ name, value, bound, met })),
    [{ name: "total over legacy's, stargz", value: 0.75, bound: 1, met: true }],
  );
});
