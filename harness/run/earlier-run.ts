import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type Environment, readEnvironment } from '../../measurements/environment.ts';
import { parseSamples, type Sample } from '../../measurements/sample.ts';
import { HarnessError } from '../cli/error.ts';
import type { CodeState } from '../host/commit.ts';

/** A run of `bench` that was cut off, as far as it came. */
export interface EarlierRun {
  readonly path: string;
  readonly environment: Environment;
  /** Its arguments, without where files were kept. */
  readonly argv: readonly string[];
  readonly samples: readonly Sample[];
}

/** Throws HarnessError or MeasurementError where the directory is not one of a run that could be resumed. */
export async function readEarlierRun(path: string): Promise<EarlierRun> {
  const environment = await readEnvironment(path);
  const { argv } = environment.details;
  const isResumable =
    environment.program === 'bench' && environment.seed !== null && Array.isArray(argv) && !argv.includes('--resume');
  if (!isResumable) {
    throw new HarnessError(
      'not-resumable',
      `cannot resume ${path}: it does not record what a run of bench was asked for`,
      {
        remedy: 'resume runs of bench, made with this version or later',
      },
    );
  }
  return { path, environment, argv: argv as string[], samples: await readRows(path) };
}

/** The whole rows, as `reopenTableFile` keeps them. None, where the run was cut off before its first. */
async function readRows(directory: string): Promise<Sample[]> {
  const path = join(directory, 'samples.csv');
  const text = await readFile(path, 'utf8').catch(() => '');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole.indexOf('\n') === whole.length - 1 ? [] : parseSamples(whole, path);
}

/** What would make the later samples incomparable with the earlier ones. */
export interface Circumstances {
  readonly code?: CodeState;
  readonly machine?: Readonly<Record<string, unknown>>;
  /** Of environment.json: what decides a result. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** What is not as it was, in words: `commit 0123456 instead of 89abcde`. Compared is what both have. */
export function findChanges({ environment }: EarlierRun, { code, machine = {}, details }: Circumstances): string[] {
  const otherMachine = machineKeys.filter((key) => differs(key, machine, environment.machine));
  const otherDetails = Object.keys(details).filter((key) => differs(key, details, environment.details));
  return [
    ...(code === undefined ? [] : describeOtherCode(environment, code)),
    ...otherMachine.map((key) => `another ${key}`),
    ...otherDetails.map((key) => `other ${key}`),
  ];
}

function describeOtherCode(earlier: CodeState, now: CodeState): string[] {
  const short = ({ commit }: CodeState) => (commit === null ? 'no commit' : `commit ${commit.slice(0, 7)}`);
  if (now.commit !== earlier.commit) return [`${short(now)} instead of ${short(earlier)}`];
  return now.dirty || earlier.dirty ? ['uncommitted changes'] : [];
}

const machineKeys = ['hostname', 'kernel', 'cpu', 'memoryBytes'];

type Fields = Readonly<Record<string, unknown>>;

/** As JSON would keep them. */
function differs(key: string, one: Fields, other: Fields): boolean {
  if (!(key in one) || !(key in other)) return false;
  return !isDeepStrictEqual(
    JSON.parse(JSON.stringify(one[key] ?? null)),
    JSON.parse(JSON.stringify(other[key] ?? null)),
  );
}

/** Throws HarnessError with all changes in one line. */
export function refuseChanges(path: string, changes: readonly string[]): void {
  if (changes.length === 0) return;
  throw new HarnessError('not-resumable', `cannot resume ${path}: ${changes.join(', ')}`, {
    remedy: 'go back to what it was, or add --resume-anyway',
  });
}
