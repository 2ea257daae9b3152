import { type Interval, median, medianInterval, type SortedSamples, sortSamples } from './median.ts';
import { criticalRank } from './mann-whitney.ts';

/** A subject relative to its reference: below 1 is less. */
export interface Ratio {
  readonly ratio: number;
  /** Undefined where there are too few samples for one. */
  readonly interval: Interval | undefined;
}

/** One round of a run: what was measured of the subject and of its reference, both above 0. */
export interface Pair {
  readonly reference: number;
  readonly subject: number;
}

/** Not empty. */
export type Pairs = readonly [Pair, ...Pair[]];

/**
 * The median of the rounds' ratios, with the interval of a median: what disturbs a whole round, disturbs both sides of it alike. Of an
 * even number, the geometric mean of the two in the middle, so that the ratio of the exchanged sides is the inverse.
 */
export function pairedRatio(pairs: Pairs): Ratio {
  const logs = sortSamples(pairs.map(({ reference, subject }) => Math.log(subject / reference)))!;
  return { ratio: Math.exp(median(logs)), interval: exponentiate(medianInterval(logs)) };
}

/**
 * Of two runs that share no rounds: the median of the ratios of every subject to every reference, with the interval that inverts the
 * Mann-Whitney test (Hodges and Lehmann, on logarithms). It assumes that one distribution is the other's, scaled. Of at most 1,000 samples
 * each.
 */
export function unpairedRatio(reference: SortedSamples, subject: SortedSamples): Ratio {
  const logs = sortSamples(subject.flatMap((value) => reference.map((other) => Math.log(value / other))))!;
  const rank = criticalRank(reference.length, subject.length);
  const interval = rank === undefined ? undefined : { low: logs[rank - 1]!, high: logs[logs.length - rank]! };
  return { ratio: Math.exp(median(logs)), interval: exponentiate(interval) };
}

/** Of positive ratios; not empty. */
export function geometricMean(ratios: readonly number[]): number {
  return Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
}

function exponentiate(interval: Interval | undefined): Interval | undefined {
  return interval && { low: Math.exp(interval.low), high: Math.exp(interval.high) };
}
