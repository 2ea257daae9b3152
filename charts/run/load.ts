import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Environment, readEnvironment } from '../../measurements/environment.ts';
import { MeasurementError } from '../../measurements/error.ts';
import { readSamples } from '../../measurements/sample.ts';
import { readTimeline } from '../../measurements/timeline.ts';
import { readRun, type Run } from './run.ts';

/** Reads a run of `bench` that has something to show. Throws MeasurementError. */
export async function loadRun(resultDir: string, environment?: Environment): Promise<Run> {
  const known = environment ?? (await loadEnvironment(resultDir));
  if (known !== undefined && known.program !== 'bench') {
    throw new MeasurementError('bad-environment', `${resultDir} is a run of ${known.program}, not of bench`, {
      remedy: 'give the directory of a run of npm run bench',
    });
  }
  const beside = { verdict: await readVerdict(resultDir), timeline: await readTimeline(resultDir) };
  const run = readRun(await readSamples(resultDir), known, beside);
  if (run.links.every(({ groups }) => groups.every((group) => group.samples.length === 0))) {
    const path = join(resultDir, 'samples.csv');
    const error = run.samples.find(({ ok }) => !ok)?.error ?? 'no reason recorded';
    throw new MeasurementError('no-samples', `${path} holds no successful sample (${error}): nothing to draw`, {
      remedy: 'repair that and run bench again',
    });
  }
  return run;
}

/** A table without environment.json is read too, and its charts say that the commit was not recorded. */
export async function loadEnvironment(resultDir: string): Promise<Environment | undefined> {
  try {
    return await readEnvironment(resultDir);
  } catch (error) {
    if (error instanceof MeasurementError && error.code === 'missing-file') return undefined;
    throw error;
  }
}

/** Only runs of `bench --image` have one. */
async function readVerdict(resultDir: string): Promise<string | undefined> {
  const path = join(resultDir, 'verdict.txt');
  try {
    return (await readFile(path, 'utf8')).trimEnd();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new MeasurementError('missing-file', `cannot read ${path} (${code})`, { cause: error });
  }
}
