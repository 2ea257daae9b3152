import type { SortedSamples } from './median.ts';
import { twoSidedNormal } from './normal.ts';

export interface RankTest {
  /** Two-sided: how often chance alone separates two groups of one distribution this much. */
  readonly p: number;
  /**
   * The chance that a subject is below a reference, ties counting half (Vargha and Delaney's A): 0.5 is no effect, 1 every subject below
   * every reference.
   */
  readonly effectSize: number;
}

/** Up to this many in both groups together, p is exact; above, normal, which is off by less than a tenth of a p of 0.005 or more. */
const maxExact = 60;

/** Mann-Whitney U, exact also with ties: over all ways to divide the values as they are into two groups. */
export function mannWhitney(reference: SortedSamples, subject: SortedSamples): RankTest {
  const [m, n] = [reference.length, subject.length];
  const values = [...reference, ...subject].sort((one, other) => one - other);
  // Twice the mean rank of equal values, so that all ranks are whole.
  const doubledRank = new Map<number, number>();
  const ties: number[] = [];
  for (let first = 0; first < values.length; ) {
    let next = first + 1;
    while (values[next] === values[first]) next++;
    doubledRank.set(values[first]!, first + 1 + next);
    ties.push(next - first);
    first = next;
  }
  const doubledSum = subject.reduce((sum, value) => sum + doubledRank.get(value)!, 0);
  const aboveReference = (doubledSum - n * (n + 1)) / 2;
  const effectSize = 1 - aboveReference / (m * n);
  if (m + n > maxExact) return { p: normalP(aboveReference, m, n, ties), effectSize };
  const distance = Math.abs(2 * aboveReference - m * n);
  const hasTies = ties.some((count) => count > 1);
  const counts = hasTies
    ? doubledSumCounts(
        values.map((value) => doubledRank.get(value)!),
        n,
      )
    : undefined;
  const p =
    counts === undefined
      ? tailOf(uCounts(m, n), 0, 2, m * n, distance)
      : tailOf(counts, n * (n + 1), 1, m * n, distance);
  return { p, effectSize };
}

/** The least p that two groups of these sizes can show. */
export function leastP(m: number, n: number): number {
  let divisions = 1;
  for (let chosen = 1; chosen <= Math.min(m, n); chosen++) divisions *= (m + n - chosen + 1) / chosen;
  return Math.min(1, 2 / divisions);
}

/** The rank k, from 1, such that the k-th smallest and k-th largest of the m n differences enclose a shift in at least 95 %. */
export function criticalRank(m: number, n: number): number | undefined {
  if (m + n > maxExact) {
    const rank = Math.floor((m * n) / 2 - 1.959964 * Math.sqrt((m * n * (m + n + 1)) / 12) - 0.5) + 1;
    return rank >= 1 ? rank : undefined;
  }
  const counts = uCounts(m, n);
  const total = counts.reduce((sum, count) => sum + count, 0);
  let below = 0;
  for (let u = 0; u < counts.length; u++) {
    below += counts[u]!;
    if ((2 * below) / total > 0.05) return u >= 1 ? u : undefined;
  }
  return undefined;
}

/** P(|X - middle| >= distance), where the count at index i is of X = i * step - offset. */
function tailOf(counts: readonly number[], offset: number, step: number, middle: number, distance: number): number {
  let tail = 0;
  let total = 0;
  for (const [index, count] of counts.entries()) {
    total += count;
    if (Math.abs(index * step - offset - middle) >= distance) tail += count;
  }
  return tail / total;
}

const knownCounts = new Map<string, readonly number[]>();

/** In how many of the divisions of m + n different values U is 0, 1, ... m n: the coefficients of the Gaussian binomial. */
function uCounts(m: number, n: number): readonly number[] {
  const key = `${m} ${n}`;
  const known = knownCounts.get(key);
  if (known !== undefined) return known;
  const counts = Array.from({ length: m * n + 1 }, () => 0);
  counts[0] = 1;
  for (let part = 1; part <= n; part++) {
    for (let u = m * n; u >= m + part; u--) counts[u]! -= counts[u - m - part]!;
    for (let u = part; u <= m * n; u++) counts[u]! += counts[u - part]!;
  }
  knownCounts.set(key, counts);
  return counts;
}

/** In how many of the choices of n of these ranks they sum to 0, 1, ... */
function doubledSumCounts(doubledRanks: readonly number[], n: number): readonly number[] {
  const size = doubledRanks.reduce((sum, rank) => sum + rank, 0) + 1;
  const counts = Array.from({ length: n + 1 }, () => new Float64Array(size));
  counts[0]![0] = 1;
  let reached = 0;
  for (const rank of doubledRanks) {
    reached += rank;
    for (let chosen = n; chosen >= 1; chosen--) {
      const to = counts[chosen]!;
      const from = counts[chosen - 1]!;
      for (let sum = rank; sum <= reached; sum++) to[sum]! += from[sum - rank]!;
    }
  }
  return [...counts[n]!];
}

function normalP(u: number, m: number, n: number, ties: readonly number[]): number {
  const size = m + n;
  const correction = ties.reduce((sum, count) => sum + count ** 3 - count, 0) / (size * (size - 1));
  const deviation = Math.sqrt(((m * n) / 12) * (size + 1 - correction));
  if (deviation === 0) return 1;
  return twoSidedNormal(Math.max(0, Math.abs(u - (m * n) / 2) - 0.5) / deviation);
}
