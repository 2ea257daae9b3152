import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Environment, readEnvironment } from '../../measurements/environment.ts';
import { MeasurementError } from '../../measurements/error.ts';
import { type Limit, limitColumns } from '../../measurements/limit.ts';
import { readTable } from '../../measurements/table.ts';
import { loadRun } from '../run/load.ts';
import type { Run } from '../run/run.ts';

/** A directory below results/published. */
export interface PublishedRun {
  readonly path: string;
  /** Of its page on the site: `bench/20261126-231446`. */
  readonly address: string;
  readonly environment: Environment;
  /** What `bench` measured; undefined for other programs. */
  readonly run: Run | undefined;
  /** What the program held itself to. */
  readonly limits: readonly Limit[];
}

export interface PublishedRuns {
  /** Newest first. */
  readonly runs: readonly PublishedRun[];
  /** What cannot be shown, one line each. */
  readonly faults: readonly string[];
}

/** Reads all runs of all programs in `root`: <program>/<run-id>. A run that cannot be read is a fault and hides no other. */
export async function readPublishedRuns(root: string): Promise<PublishedRuns> {
  const runs: PublishedRun[] = [];
  const faults: string[] = [];
  for (const program of await directories(root)) {
    for (const runId of await directories(join(root, program))) {
      const path = join(root, program, runId);
      try {
        const environment = await readEnvironment(path);
        const run = environment.program === 'bench' ? await loadRun(path, environment) : undefined;
        const limits = await readLimits(path);
        runs.push({ path, address: `${program}/${runId}`, environment, run, limits });
      } catch (error) {
        if (!(error instanceof MeasurementError)) throw error;
        faults.push(error.message);
      }
    }
  }
  runs.sort((one, other) => other.environment.startedAt.localeCompare(one.environment.startedAt));
  return { runs, faults };
}

/** None where the run has no such table. */
async function readLimits(path: string): Promise<Limit[]> {
  try {
    return await readTable(limitColumns, { path: join(path, 'limits.csv'), required: ['name', 'met'] });
  } catch (error) {
    if (error instanceof MeasurementError && ['missing-file', 'no-samples'].includes(error.code)) return [];
    throw error;
  }
}

async function directories(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new MeasurementError('missing-file', `cannot read ${path} (${cause.code})`, {
      remedy: 'give the directory of published runs',
      cause,
    });
  });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}
