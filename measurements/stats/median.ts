/** Ascending and not empty, as every order statistic requires. Only `sortSamples` makes one. */
export type SortedSamples = readonly [number, ...number[]] & { readonly __brand: 'SortedSamples' };

/** Undefined for an empty list, which has no statistics. Throws TypeError on NaN and infinities. */
export function sortSamples(values: readonly number[]): SortedSamples | undefined {
  if (values.length === 0) return undefined;
  for (const value of values) if (!Number.isFinite(value)) throw new TypeError(`not a finite sample: ${value}`);
  return [...values].sort((one, other) => one - other) as unknown as SortedSamples;
}

export function minimum(samples: SortedSamples): number {
  return samples[0];
}

export function maximum(samples: SortedSamples): number {
  return samples[samples.length - 1]!;
}

export function mean(samples: SortedSamples): number {
  return samples.reduce((sum, value) => sum + value, 0) / samples.length;
}

/** The middle sample, or the mean of the two middle ones. */
export function median(samples: SortedSamples): number {
  const middle = Math.floor(samples.length / 2);
  return samples.length % 2 === 1 ? samples[middle]! : (samples[middle - 1]! + samples[middle]!) / 2;
}

/** 95 %. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

export const minSamplesForInterval = 6;

/**
 * A 95 % interval of the median of any continuous distribution. Between two order statistics a sample can only be covered with one
 * of a few probabilities (of ten samples 97.9 % or 89.1 %), so the interval lies between the two that enclose 95 %, interpolated as in
 * Hettmansperger and Sheather, Confidence intervals based on interpolated order statistics (1986), whose coverage hardly depends on
 * the distribution. Five samples reach 93.75 % at most, so below six there is none.
 */
export function medianInterval(samples: SortedSamples): Interval | undefined {
  const n = samples.length;
  if (n < minSamplesForInterval) return undefined;
  const { rank, share } = intervalRank(n);
  const between = (outer: number, inner: number) => (1 - share) * samples[outer]! + share * samples[inner]!;
  return { low: between(rank - 1, rank), high: between(n - rank, n - rank - 1) };
}

const confidence = 0.95;

/** The rank k, from 1, of the outer order statistic, and how far the bound lies from it towards x(k + 1). At least six samples. */
function intervalRank(n: number): { readonly rank: number; readonly share: number } {
  // Below the median lie B ~ Binomial(n, 1/2) samples; [x(k), x(n + 1 - k)] covers it with probability 1 - 2 P(B < k).
  let probability = 0.5 ** n;
  let tail = probability;
  for (let rank = 1; ; rank++) {
    probability *= (n - rank + 1) / rank;
    const outer = 1 - 2 * tail;
    const inner = outer - 2 * probability;
    if (inner < confidence) {
      const excess = (outer - confidence) / (outer - inner);
      return { rank, share: ((n - rank) * excess) / (rank + (n - 2 * rank) * excess) };
    }
    tail += probability;
  }
}
