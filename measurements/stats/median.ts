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

export interface Interval {
  readonly low: number;
  readonly high: number;
}

export const minSamplesForInterval = 6;

/**
 * The narrowest distribution-free interval [x(k), x(n+1-k)] that covers the median with a probability of at least 95 %: the number of
 * samples below the median is Binomial(n, 1/2), so the coverage is 1 - 2 P(B <= k - 1) (Conover, Practical Nonparametric
 * Statistics, 3.2). Five samples reach 93.75 % at most, so below six there is none.
 */
export function medianInterval(samples: SortedSamples): Interval | undefined {
  const n = samples.length;
  if (n < minSamplesForInterval) return undefined;
  let probability = 0.5 ** n;
  let tail = probability;
  let k = 1;
  // Raise k while both tails beyond x(k + 1) together stay within 5 %.
  for (let below = 1; below < n / 2; below++) {
    probability *= (n - below + 1) / below;
    tail += probability;
    if (2 * tail > 0.05) break;
    k = below + 1;
  }
  return { low: samples[k - 1]!, high: samples[n - k]! };
}
