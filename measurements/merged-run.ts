import { isDeepStrictEqual } from 'node:util';
import type { BenchRun } from './bench-run.ts';
import type { Environment } from './environment.ts';
import { MeasurementError } from './error.ts';
import type { Sample } from './sample.ts';

/** What the parts of one plan come to. */
export interface MergedRun {
  /** Of the first part, with all parts among its details. `status` is `interrupted` where rounds are missing. */
  readonly environment: Environment;
  /** In the order of the plan; each keeps the id of its part. */
  readonly samples: readonly Sample[];
  /** Rounds of the plan that no part has whole. */
  readonly missingRounds: readonly number[];
}

/** What decides a result, and must be the same in all parts. Their machines may differ: rounds are whole. */
const decisive = ['samples', 'workloads', 'modes', 'links', 'images', 'peers', 'containerd'];

/**
 * Puts the shards of one plan together, under the id of the new run. Throws MeasurementError where they are not of one plan, or have
 * measured the same cell.
 */
export function mergeRuns([first, ...rest]: readonly [BenchRun, ...BenchRun[]], runId: string): MergedRun {
  for (const other of rest) {
    const differences = findDifferences(first.environment, other.environment);
    if (differences.length > 0) {
      throw new MeasurementError(
        'not-one-plan',
        `${other.path} is not of one plan with ${first.path}: ${differences.join(', ')}`,
        {
          remedy: 'merge runs of one commit, with the same options and --seed, that differ in --shard',
        },
      );
    }
  }
  const runs = tellApart([first, ...rest]);
  const samples = runs.flatMap((run) => run.samples).sort((one, other) => one.order - other.order);
  for (const [index, { order, workload, mode }] of samples.entries()) {
    if (samples[index + 1]?.order === order) {
      throw new MeasurementError('not-one-plan', `two of the runs have measured ${workload} ${mode}, cell ${order}`, {
        remedy: 'give each shard once',
      });
    }
  }
  const missingRounds = findMissingRounds(first.environment, samples);
  return { environment: describeMerged(runs, runId, missingRounds), samples, missingRounds };
}

/** Runs that began in the same second on two machines have one id. */
function tellApart(runs: readonly BenchRun[]): readonly BenchRun[] {
  return runs.map((run, index) => {
    const { runId } = run.environment;
    const before = runs.slice(0, index).filter(({ environment }) => environment.runId === runId).length;
    if (before === 0) return run;
    const own = `${runId}-${before + 1}`;
    const samples = run.samples.map((sample) => ({ ...sample, runId: own }));
    return { ...run, environment: { ...run.environment, runId: own }, samples };
  });
}

function findDifferences(one: Environment, other: Environment): string[] {
  return [
    ...(one.commit === other.commit ? [] : ['another commit']),
    ...(one.seed === other.seed ? [] : ['another seed']),
    ...decisive.filter((key) => !isDeepStrictEqual(one.details[key], other.details[key])).map((key) => `other ${key}`),
  ];
}

function findMissingRounds({ details }: Environment, samples: readonly Sample[]): number[] {
  const counts = [details.workloads, details.modes, details.links].map((items) =>
    Array.isArray(items) ? items.length : 1,
  );
  const cellCount = counts.reduce((product, count) => product * count, 1);
  const byRound = Map.groupBy(samples, ({ sample }) => sample);
  const rounds = Array.from({ length: Number(details.samples) }, (_, index) => index + 1);
  return rounds.filter((round) => (byRound.get(round)?.length ?? 0) < cellCount);
}

function describeMerged(runs: readonly BenchRun[], runId: string, missingRounds: readonly number[]): Environment {
  const all = runs.map(({ environment }) => environment);
  const first = all[0]!;
  const { argv: _, ...details } = first.details;
  const ends = all.flatMap(({ endedAt }) => endedAt ?? []).sort();
  return {
    ...first,
    runId,
    dirty: all.some(({ dirty }) => dirty),
    command: first.command.replace(/ --shard[ =]\S+/, ''),
    status: missingRounds.length === 0 ? 'complete' : 'interrupted',
    startedAt: all.map(({ startedAt }) => startedAt).sort()[0]!,
    endedAt: ends.at(-1) ?? null,
    warnings: [...new Set(all.flatMap(({ warnings }) => warnings))],
    details: {
      ...details,
      parts: all.map((part) => ({
        ...{ runId: part.runId, command: part.command, startedAt: part.startedAt, endedAt: part.endedAt },
        ...{ machine: part.machine, warnings: part.warnings },
      })),
    },
  };
}
