import { median, sortSamples } from './median.ts';
import { twoSidedNormal } from './normal.ts';

export interface Trend {
  /** Two-sided: how often values in random order rise or fall this consistently. */
  readonly p: number;
  /** Of the values, from the first to the last. */
  readonly change: number;
}

/** Four values in order can show no p below 1/12. */
const minValues = 5;
const maxExact = 60;

/**
 * Whether values in the order of time rise or fall: Mann and Kendall's test, exact up to 60 values without ties; the change is by Theil
 * and Sen's slope, the median over all pairs. Undefined for fewer than five values.
 */
export function findTrend(values: readonly number[]): Trend | undefined {
  const n = values.length;
  if (n < minValues) return undefined;
  const slopes: number[] = [];
  let score = 0;
  for (let late = 1; late < n; late++) {
    for (let early = 0; early < late; early++) {
      score += Math.sign(values[late]! - values[early]!);
      slopes.push((values[late]! - values[early]!) / (late - early));
    }
  }
  const change = median(sortSamples(slopes)!) * (n - 1);
  if (n <= maxExact) return { p: exactP(Math.abs(score), n), change };
  const deviation = Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18);
  return { p: twoSidedNormal(Math.max(0, Math.abs(score) - 1) / deviation), change };
}

/** P(|S| >= score) over the orders of n different values: S is n (n - 1) / 2 less twice the number of inversions. */
function exactP(score: number, n: number): number {
  let shares = [1];
  for (let size = 2; size <= n; size++) {
    const next = Array.from({ length: shares.length + size - 1 }, () => 0);
    for (const [inversions, share] of shares.entries()) {
      for (let more = 0; more < size; more++) next[inversions + more]! += share / size;
    }
    shares = next;
  }
  const most = (n * (n - 1)) / 2;
  let p = 0;
  for (const [inversions, share] of shares.entries()) if (Math.abs(most - 2 * inversions) >= score) p += share;
  return Math.min(1, p);
}
