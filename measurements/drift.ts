import { significanceLevel, smallestChange } from './comparison.ts';
import { median, type SortedSamples, sortSamples } from './stats/median.ts';
import { findTrend } from './stats/trend.ts';

/** Whether times rose or fell over a run. All modes meet it alike, so comparisons hold; absolute times then hold less. */
export interface Drift {
  readonly p: number;
  /** Of the times, from the first round to the last: 0.05 is 5 % slower at the end. */
  readonly change: number;
  /** Significant, and large enough to be worth a word. */
  readonly isShown: boolean;
}

/**
 * Each sample relative to the median of its group, the median of these in each round, and the trend over the rounds. Undefined for fewer
 * than five rounds.
 */
export function findDrift(
  groups: readonly {
    readonly samples: readonly { readonly sample: number; readonly totalMs: number }[];
    readonly totalMs: SortedSamples | undefined;
  }[],
): Drift | undefined {
  const deviations = groups.flatMap(({ samples, totalMs }) => {
    if (totalMs === undefined) return [];
    const usual = median(totalMs);
    return samples.map((sample) => ({ round: sample.sample, deviation: Math.log(sample.totalMs / usual) }));
  });
  const byRound = [...Map.groupBy(deviations, ({ round }) => round)].sort(([one], [other]) => one - other);
  const trend = findTrend(byRound.map(([, own]) => median(sortSamples(own.map(({ deviation }) => deviation))!)));
  if (trend === undefined) return undefined;
  const change = Math.expm1(trend.change);
  return { p: trend.p, change, isShown: trend.p <= significanceLevel && Math.abs(change) >= smallestChange };
}

/** `times rose by 4 % from the first round to the last (p = 0.003)`; undefined where nothing is shown. */
export function describeDrift(drift: Drift | undefined): string | undefined {
  if (!drift?.isShown) return undefined;
  const percent = Math.abs(drift.change * 100).toFixed(0);
  const p = drift.p < 0.001 ? 'p < 0.001' : `p = ${drift.p.toPrecision(1)}`;
  return `times ${drift.change > 0 ? 'rose' : 'fell'} by ${percent} % from the first round to the last (${p})`;
}
