import type { Row } from '../run/row.ts';
import {
  type Interval,
  maximum,
  mean,
  median,
  medianInterval,
  minimum,
  type SortedSamples,
  sortSamples,
} from '../../measurements/stats/median.ts';
import { type Random, seededRandom } from '../../measurements/stats/random.ts';
import { meanSpeedUp, meanSpeedUpInterval, type Pair, speedUp } from '../../measurements/stats/ratio.ts';

/** What all others are compared with. */
export const baselineMode = 'legacy';

/** One workload in one mode. Statistics are of the rows that are ok; undefined where there is none. */
export interface Group {
  readonly workload: string;
  readonly mode: string;
  readonly sampleCount: number;
  readonly errorCount: number;
  readonly totalMs: SortedSamples | undefined;
  readonly totalInterval: Interval | undefined;
  /** The row with the median total (of an even number, the lower one of the middle): its phases add up to its total. */
  readonly medianRow: Row | undefined;
  readonly meanPullMs: number | undefined;
  readonly meanCreateMs: number | undefined;
  readonly meanRunMs: number | undefined;
  readonly medianWireBytes: number | undefined;
  readonly medianWireRequests: number | undefined;
  readonly maxDaemonRssKib: number | undefined;
  readonly speedUp: number | undefined;
  readonly speedUpInterval: Interval | undefined;
}

/** A mode over all workloads that were measured both in it and in the baseline. */
export interface Overall {
  readonly mode: string;
  readonly workloadCount: number;
  readonly sampleCount: number;
  readonly errorCount: number;
  readonly speedUp: number | undefined;
  readonly speedUpInterval: Interval | undefined;
}

export interface Summary {
  /** In the order of `workloads`, then of `modes`. */
  readonly groups: readonly Group[];
  readonly overall: readonly Overall[];
}

/** `workloads` and `modes` are names, in the order to show them in. */
export function summarize(
  rows: readonly Row[],
  order: { readonly workloads: readonly string[]; readonly modes: readonly string[] },
  seed: number,
): Summary {
  const random = seededRandom(seed);
  const groups = order.workloads.flatMap((workload) =>
    order.modes.flatMap((mode) => {
      const own = rows.filter((row) => row.workload === workload && row.mode === mode);
      if (own.length === 0) return [];
      const baseline = totals(rows.filter((row) => row.workload === workload && row.mode === baselineMode));
      return [describeGroup(workload, mode, own, baseline, random)];
    }),
  );
  const overall = order.modes.flatMap((mode) => {
    const own = groups.filter((group) => group.mode === mode);
    return own.length === 0 ? [] : [describeOverall(mode, own, groups, random)];
  });
  return { groups, overall };
}

/** The records of summary.csv; the rows named `all` hold geometric means over the workloads. */
export function summaryRecords(summary: Summary): Record<string, string | number | undefined>[] {
  const groups = summary.groups.map((group) => ({
    workload: group.workload,
    mode: group.mode,
    n: group.sampleCount,
    errors: group.errorCount,
    total_median_ms: group.totalMs && median(group.totalMs),
    total_min_ms: group.totalMs && minimum(group.totalMs),
    total_max_ms: group.totalMs && maximum(group.totalMs),
    total_median_ci95_low_ms: group.totalInterval?.low,
    total_median_ci95_high_ms: group.totalInterval?.high,
    pull_mean_ms: group.meanPullMs,
    create_mean_ms: group.meanCreateMs,
    run_mean_ms: group.meanRunMs,
    wire_bytes_median: group.medianWireBytes,
    wire_requests_median: group.medianWireRequests,
    daemon_rss_peak_max_kib: group.maxDaemonRssKib,
    speedup_over_legacy: group.speedUp,
    speedup_ci95_low: group.speedUpInterval?.low,
    speedup_ci95_high: group.speedUpInterval?.high,
  }));
  const overall = summary.overall.map((mode) => ({
    workload: 'all',
    mode: mode.mode,
    n: mode.sampleCount,
    errors: mode.errorCount,
    speedup_over_legacy: mode.speedUp,
    speedup_ci95_low: mode.speedUpInterval?.low,
    speedup_ci95_high: mode.speedUpInterval?.high,
  }));
  return [...groups, ...overall];
}

function describeGroup(
  workload: string,
  mode: string,
  own: readonly Row[],
  baseline: SortedSamples | undefined,
  random: Random,
): Group {
  const good = own.filter((row) => row.ok);
  const totalMs = totals(own);
  const pair = totalMs && baseline && mode !== baselineMode ? { baseline, subject: totalMs } : undefined;
  return {
    workload,
    mode,
    sampleCount: good.length,
    errorCount: own.length - good.length,
    totalMs,
    totalInterval: totalMs && medianInterval(totalMs),
    medianRow: medianRow(good),
    meanPullMs: of(good, 'pullMs', mean),
    meanCreateMs: of(good, 'createMs', mean),
    meanRunMs: of(good, 'runMs', mean),
    medianWireBytes: of(good, 'wireBytes', median),
    medianWireRequests: of(good, 'wireRequests', median),
    maxDaemonRssKib: of(good, 'daemonRssPeakKib', maximum),
    speedUp: pair && speedUp(pair),
    speedUpInterval: pair && meanSpeedUpInterval([pair], random),
  };
}

function describeOverall(mode: string, own: readonly Group[], groups: readonly Group[], random: Random): Overall {
  const pairs = own.flatMap((group): Pair[] => {
    const base = groups.find((other) => other.workload === group.workload && other.mode === baselineMode);
    return base?.totalMs && group.totalMs ? [{ baseline: base.totalMs, subject: group.totalMs }] : [];
  });
  const [first, ...rest] = mode === baselineMode ? [] : pairs;
  return {
    mode,
    workloadCount: pairs.length,
    sampleCount: own.reduce((sum, group) => sum + group.sampleCount, 0),
    errorCount: own.reduce((sum, group) => sum + group.errorCount, 0),
    speedUp: first && meanSpeedUp([first, ...rest]),
    speedUpInterval: first && meanSpeedUpInterval([first, ...rest], random),
  };
}

function totals(rows: readonly Row[]): SortedSamples | undefined {
  return sortSamples(rows.flatMap((row) => (row.ok && row.totalMs !== undefined ? [row.totalMs] : [])));
}

function medianRow(good: readonly Row[]): Row | undefined {
  const sorted = good.filter((row) => row.totalMs !== undefined).sort((one, other) => one.totalMs! - other.totalMs!);
  return sorted[Math.ceil(sorted.length / 2) - 1];
}

type NumericKey = 'pullMs' | 'createMs' | 'runMs' | 'wireBytes' | 'wireRequests' | 'daemonRssPeakKib';

function of(rows: readonly Row[], key: NumericKey, statistic: (samples: SortedSamples) => number): number | undefined {
  const samples = sortSamples(rows.flatMap((row) => row[key] ?? []));
  return samples && statistic(samples);
}
