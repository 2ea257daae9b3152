import { type Comparison, compareTimes } from '../../measurements/comparison.ts';
import { median, type SortedSamples, sortSamples } from '../../measurements/stats/median.ts';
import { baselineOf, type Group } from '../../measurements/summary.ts';
import type { LinkRun, Run } from '../run/run.ts';

/** One workload in one mode in one run. */
export interface TrendPoint {
  readonly workload: string;
  readonly mode: string;
  /** Seven digits of the commit. */
  readonly commit: string;
  readonly startedAt: string;
  /** Median total / the reference's median total in the same run. */
  readonly relative: number;
  readonly values: SortedSamples;
}

export interface ChangePoint {
  readonly workload: string;
  readonly mode: string;
  /** The first commit with the change, and the one measured before it. */
  readonly commit: string;
  readonly before: string;
  readonly startedAt: string;
  readonly comparison: Comparison;
}

export interface Trend {
  /** The link that most runs have. */
  readonly link: string;
  /** Of the earliest run first. */
  readonly points: readonly TrendPoint[];
  readonly changes: readonly ChangePoint[];
}

/**
 * How the modes of clean commits developed, over the link that most runs have; a commit's latest run stands for it. Machines differ by more
 * than versions do, so a total counts relative to the reference's median in its own run. A change point is where that differs from the run
 * before, by size and significance (Mann-Whitney, adjusted over all neighbours). Undefined for fewer than two commits
 * that were compared with the reference.
 */
export function findTrend(runs: readonly Run[]): Trend | undefined {
  const link = mostFrequent(runs.flatMap(({ links }) => links.map(({ name }) => name)));
  const byCommit = new Map(
    runs
      .toSorted((one, other) => startOf(one).localeCompare(startOf(other)))
      .flatMap((run) => {
        const { environment } = run;
        const at = run.links.find(({ name }) => name === link);
        if (at === undefined || environment === undefined || environment.commit === null || environment.dirty)
          return [];
        return [[environment.commit, { run, at }] as const];
      }),
  );
  if (link === undefined) return undefined;
  const points = [...byCommit].flatMap(([commit, { run, at }]) => pointsOf(commit.slice(0, 7), startOf(run), at));
  const commits = new Set(points.map(({ commit }) => commit));
  return commits.size < 2 ? undefined : { link, points, changes: findChanges(points) };
}

function pointsOf(commit: string, startedAt: string, { groups }: LinkRun): TrendPoint[] {
  return groups.flatMap((group) => {
    const { workload, mode, totalMs } = group;
    const base = groups.find((other) => other.workload === workload && other.mode === baselineOf(mode));
    const values = base?.totalMs && totalMs && base !== group ? relativeTo(base.totalMs, group) : undefined;
    return values === undefined ? [] : [{ workload, mode, commit, startedAt, relative: median(values), values }];
  });
}

function relativeTo(base: SortedSamples, { samples }: Group): SortedSamples | undefined {
  const usual = median(base);
  return sortSamples(samples.map(({ totalMs }) => totalMs / usual));
}

function findChanges(points: readonly TrendPoint[]): ChangePoint[] {
  const series = [...Map.groupBy(points, ({ workload, mode }) => `${workload} ${mode}`).values()];
  const neighbours = series.flatMap((own) => own.slice(1).map((point, index) => ({ before: own[index]!, point })));
  const observe = (values: SortedSamples) => values.map((value, round) => ({ round, value }));
  const comparisons = compareTimes(
    neighbours.map(({ before, point }) => ({
      ...{ reference: observe(before.values), subject: observe(point.values), paired: false },
    })),
  );
  return neighbours.flatMap(({ before, point: { workload, mode, commit, startedAt } }, index) => {
    const comparison = comparisons[index];
    if (comparison?.verdict !== 'faster' && comparison?.verdict !== 'slower') return [];
    return [{ workload, mode, commit, startedAt, before: before.commit, comparison }];
  });
}

function startOf({ environment, samples }: Run): string {
  return environment?.startedAt ?? samples[0]?.startedAt ?? '';
}

function mostFrequent(names: readonly string[]): string | undefined {
  const counts = [...Map.groupBy(names, (name) => name)].sort(([, one], [, other]) => other.length - one.length);
  return counts[0]?.[0];
}
