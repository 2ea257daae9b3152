import { type Interval, minSamplesForInterval, median, type SortedSamples, sortSamples } from './median.ts';
import { type Random, randomBelow } from './random.ts';

/** Two groups of samples of the same work. The speed-up is median(baseline) / median(subject). */
export interface Pair {
  readonly baseline: SortedSamples;
  readonly subject: SortedSamples;
}

/** At least one. */
export type Pairs = readonly [Pair, ...Pair[]];

const resamples = 2000;

/** Above 1: the subject is faster. */
export function speedUp(pair: Pair): number {
  return median(pair.baseline) / median(pair.subject);
}

/** The geometric mean of the pairs' speed-ups: the one mean of ratios that does not depend on which side is the base. */
export function meanSpeedUp(pairs: Pairs): number {
  const logs = pairs.reduce((sum, pair) => sum + Math.log(speedUp(pair)), 0);
  return Math.exp(logs / pairs.length);
}

/**
 * 95 % percentile bootstrap interval of `meanSpeedUp` (Efron and Tibshirani, An Introduction to the Bootstrap, ch. 13):
 * each group is resampled independently, 2,000 times. Undefined if a group has fewer than six samples: resampling so few
 * values only restates their range.
 */
export function meanSpeedUpInterval(pairs: Pairs, random: Random): Interval | undefined {
  const groups = pairs.flatMap((pair) => [pair.baseline, pair.subject]);
  if (groups.some((group) => group.length < minSamplesForInterval)) return undefined;
  const ratios: number[] = [];
  for (let round = 0; round < resamples; round++) {
    const [first, ...rest] = pairs;
    ratios.push(meanSpeedUp([redraw(first, random), ...rest.map((pair) => redraw(pair, random))]));
  }
  const sorted = sortSamples(ratios)!;
  return { low: sorted[Math.floor(resamples * 0.025)]!, high: sorted[Math.ceil(resamples * 0.975) - 1]! };
}

function redraw(pair: Pair, random: Random): Pair {
  return { baseline: redrawGroup(pair.baseline, random), subject: redrawGroup(pair.subject, random) };
}

function redrawGroup(group: SortedSamples, random: Random): SortedSamples {
  return sortSamples(group.map(() => group[randomBelow(group.length, random)]!))!;
}

/** Of positive ratios; not empty. */
export function geometricMean(ratios: readonly number[]): number {
  return Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
}
