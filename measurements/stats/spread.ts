import { median, type SortedSamples, sortSamples } from './median.ts';

/** With n - 1 below the sum; undefined for a single sample. */
export function standardDeviation(samples: SortedSamples): number | undefined {
  const n = samples.length;
  if (n < 2) return undefined;
  const mean = samples.reduce((sum, value) => sum + value, 0) / n;
  return Math.sqrt(samples.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
}

/** The median distance from the median, as it is: not scaled to a standard deviation. */
export function medianAbsoluteDeviation(samples: SortedSamples): number {
  const middle = median(samples);
  return median(sortSamples(samples.map((value) => Math.abs(value - middle)))!);
}

/** At a share of 0 to 1 of the way from the smallest to the largest, interpolated (type 7 of Hyndman and Fan, 1996). */
export function quantile(samples: SortedSamples, share: number): number {
  const position = (samples.length - 1) * share;
  const below = Math.floor(position);
  const low = samples[below]!;
  return low + (position - below) * ((samples[below + 1] ?? low) - low);
}

/** Below it, a deviation says little of what is usual. */
const minSamplesForOutliers = 6;

/**
 * Whether a value is far from the others: a modified z-score above 3.5 (Iglewicz and Hoaglin, How to Detect and Handle Outliers,
 * 1993). It is flagged and stays in every statistic: a slow start happened to somebody.
 */
export function isOutlier(value: number, samples: SortedSamples): boolean {
  if (samples.length < minSamplesForOutliers) return false;
  return 0.6745 * Math.abs(value - median(samples)) > 3.5 * medianAbsoluteDeviation(samples);
}
