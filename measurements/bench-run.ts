import { type Environment, readEnvironment } from './environment.ts';
import { MeasurementError } from './error.ts';
import { readSamples, type Sample } from './sample.ts';
import { type Summary, summarize } from './summary.ts';

/** A run of `bench`, as it was read from its directory. */
export interface BenchRun {
  /** As it was given. */
  readonly path: string;
  readonly environment: Environment;
  readonly samples: readonly Sample[];
  /** In the order of the run. */
  readonly summary: Summary;
}

/**
 * Reads environment.json and samples.csv. Throws MeasurementError where one is absent, malformed or of another schema, and where no sample
 * succeeded: there is nothing to say of such a run.
 */
export async function readBenchRun(path: string): Promise<BenchRun> {
  const environment = await readEnvironment(path);
  if (environment.program !== 'bench') {
    throw new MeasurementError('bad-environment', `${path} is a run of ${environment.program}, not of bench`, {
      remedy: 'give the directory of a run of npm run bench',
    });
  }
  const samples = await readSamples(path);
  const failed = samples.filter(({ ok }) => !ok);
  const [first] = failed;
  if (first !== undefined && failed.length === samples.length) {
    const example = `${first.workload} ${first.mode}: ${first.error}`;
    throw new MeasurementError('no-samples', `all ${failed.length} samples of ${path} failed, the first ${example}`, {
      remedy: 'repair that and run bench again',
    });
  }
  const order = { workloads: namesOf(environment, samples, 'workload'), modes: namesOf(environment, samples, 'mode') };
  return { path, environment, samples, summary: summarize(samples, order) };
}

/** As environment.json lists them, and what it does not list in the order of the samples. */
function namesOf({ details }: Environment, samples: readonly Sample[], key: 'workload' | 'mode'): string[] {
  const listed = details[`${key}s`];
  const names = Array.isArray(listed) ? listed.map((item) => String((item as { name?: unknown }).name)) : [];
  return [...new Set([...names, ...samples.map((sample) => sample[key])])];
}
