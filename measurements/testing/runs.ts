import type { BenchRun } from '../bench-run.ts';
import { type Environment, environmentSchema } from '../environment.ts';
import type { Sample } from '../sample.ts';
import { summarize } from '../summary.ts';

/** environment.json of a run of `bench`, for tests. */
export function environmentOf(changed: Partial<Environment> = {}): Environment {
  return {
    ...{ schema: environmentSchema, program: 'bench', runId: 'r1', commit: null, dirty: false, seed: 1 },
    ...{ command: 'npm run bench', status: 'complete', daemon: null, versions: {}, machine: {}, warnings: [] },
    ...{ startedAt: '2026-01-02T03:04:05.000Z', endedAt: '2026-01-02T03:05:05.000Z' },
    link: { rttMs: 30, bandwidthMbps: 200 },
    details: {},
    ...changed,
  };
}

/** The same as it would be read from `path`. */
export function runOf(
  samples: readonly Sample[],
  environment: Environment = environmentOf(),
  path = 'a run',
): BenchRun {
  const names = (key: 'workload' | 'mode') => [...new Set(samples.map((sample) => sample[key]))];
  const order = { workloads: names('workload'), modes: names('mode') };
  return { path, environment, samples, summary: summarize(samples, order) };
}
