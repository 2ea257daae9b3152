import { buildSample, type Sample } from '../sample.ts';

/** A good sample of a total, for tests: `sample` is its round, and the order of execution unless `order` says another. */
export function timed(totalMs: number, sample: number, rest: Partial<Sample> = {}): Sample {
  const identity = {
    ...{
      runId: 'r1',
      sample,
      order: sample,
      workload: 'python',
      mode: 'estargz',
      startedAt: '2026-01-02T03:04:05.000Z',
    },
    ...{ rttMs: 30, bandwidthMbps: 200 },
  };
  return { ...buildSample(identity, { ok: true, pullMs: 0, createMs: 0, runMs: totalMs }), ...rest };
}

/** The same, failed. */
export function failed(sample: number, rest: Partial<Sample> = {}): Sample {
  const nothing = { runMs: undefined, pullMs: undefined, createMs: undefined, totalMs: undefined };
  return { ...timed(1, sample), ok: false, error: 'timed out', ...nothing, ...rest };
}
