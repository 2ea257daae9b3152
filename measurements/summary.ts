import type { Sample } from './sample.ts';
import {
  type Interval,
  maximum,
  mean,
  median,
  medianInterval,
  minimum,
  type SortedSamples,
  sortSamples,
} from './stats/median.ts';
import { seededRandom } from './stats/random.ts';
import { meanSpeedUp, meanSpeedUpInterval, type Pair, speedUp } from './stats/ratio.ts';
import type { Columns } from './table.ts';

/** The mode that all others are compared with. */
export const baselineMode = 'legacy';

/** A second run is compared with the baseline's second run: `estargz+again` with `legacy+again`. */
export function baselineOf(mode: string): string {
  return baselineMode + (/\+[a-z]+/.exec(mode)?.[0] ?? '');
}

/** A sample that succeeded: all three phases and their sum are there. */
export interface GoodSample extends Sample {
  readonly pullMs: number;
  readonly createMs: number;
  readonly runMs: number;
  readonly totalMs: number;
}

/** One workload in one mode. Statistics are of the good samples; undefined where there is none. */
export interface Group {
  readonly workload: string;
  readonly mode: string;
  /** Ascending by total. */
  readonly samples: readonly GoodSample[];
  readonly failedCount: number;
  readonly totalMs: SortedSamples | undefined;
  readonly totalInterval: Interval | undefined;
  /**
   * The sample with the median total (of an even number, the lower of the two in the middle): its phases add up to a total
   * that was measured, which the medians of single phases would not.
   */
  readonly middle: GoodSample | undefined;
  readonly meanPullMs: number | undefined;
  readonly meanCreateMs: number | undefined;
  readonly meanRunMs: number | undefined;
  readonly medianWireBytes: number | undefined;
  readonly medianWireRequests: number | undefined;
  readonly maxDaemonRssKib: number | undefined;
  /** Slacker's first figure: of the time from pull to ready, the part that the pull takes. 0 to 1, median over the samples. */
  readonly pullShare: number | undefined;
  /** Slacker's second: bytes on the wire until ready / compressed size of the image that was pulled. Median; above 1 with overhead. */
  readonly imageShare: number | undefined;
  /** Median total of its baseline / median total: above 1 is faster. */
  readonly speedUp: number | undefined;
  readonly speedUpInterval: Interval | undefined;
}

/** A mode over all workloads that were measured both in it and in its baseline. */
export interface Overall {
  readonly mode: string;
  readonly workloadCount: number;
  readonly sampleCount: number;
  readonly failedCount: number;
  /** Medians of the workloads' shares. */
  readonly pullShare: number | undefined;
  readonly imageShare: number | undefined;
  /** Geometric mean over the workloads. */
  readonly speedUp: number | undefined;
  readonly speedUpInterval: Interval | undefined;
}

/** Names, in the order in which tables and charts show them. */
export interface DisplayOrder {
  readonly workloads: readonly string[];
  readonly modes: readonly string[];
}

export interface Summary extends DisplayOrder {
  /** In the order of `workloads`, then of `modes`. */
  readonly groups: readonly Group[];
  readonly overall: readonly Overall[];
}

/** The statistics of a run. The bootstrap starts from `seed` for each interval, so the order of groups does not change it. */
export function summarize(samples: readonly Sample[], order: DisplayOrder, seed: number): Summary {
  const groups = order.workloads.flatMap((workload) =>
    order.modes.flatMap((mode) => {
      const own = samples.filter((sample) => sample.workload === workload && sample.mode === mode);
      if (own.length === 0) return [];
      const base = samples.filter((sample) => sample.workload === workload && sample.mode === baselineOf(mode));
      return [describeGroup(workload, mode, own, totalsOf(goodSamples(base)), seed)];
    }),
  );
  const overall = order.modes.flatMap((mode) => {
    const own = groups.filter((group) => group.mode === mode);
    return own.length === 0 ? [] : [describeOverall(mode, own, groups, seed)];
  });
  return { ...order, groups, overall };
}

/** The samples that count, ascending by total. */
export function goodSamples(samples: readonly Sample[]): GoodSample[] {
  return samples.filter(isGood).sort((one, other) => one.totalMs - other.totalMs);
}

/** A row of summary.csv. The workload `all` stands for all: the geometric mean of their speed-ups, the medians of their shares. */
export interface SummaryRow {
  readonly workload: string;
  readonly mode: string;
  readonly n: number;
  readonly errors: number;
  readonly totalMedianMs?: number | undefined;
  readonly totalMinMs?: number | undefined;
  readonly totalMaxMs?: number | undefined;
  readonly totalMedianCi95LowMs?: number | undefined;
  readonly totalMedianCi95HighMs?: number | undefined;
  readonly pullMeanMs?: number | undefined;
  readonly createMeanMs?: number | undefined;
  readonly runMeanMs?: number | undefined;
  readonly wireBytesMedian?: number | undefined;
  readonly wireRequestsMedian?: number | undefined;
  readonly daemonRssPeakMaxKib?: number | undefined;
  readonly pullShareMedianPercent?: number | undefined;
  readonly imageShareMedianPercent?: number | undefined;
  readonly speedupOverLegacy?: number | undefined;
  readonly speedupCi95Low?: number | undefined;
  readonly speedupCi95High?: number | undefined;
}

export const summaryColumns: Columns<SummaryRow> = {
  workload: 'text',
  mode: 'text',
  n: 'integer',
  errors: 'integer',
  totalMedianMs: 'number',
  totalMinMs: 'number',
  totalMaxMs: 'number',
  totalMedianCi95LowMs: 'number',
  totalMedianCi95HighMs: 'number',
  pullMeanMs: 'number',
  createMeanMs: 'number',
  runMeanMs: 'number',
  wireBytesMedian: 'number',
  wireRequestsMedian: 'number',
  daemonRssPeakMaxKib: 'integer',
  pullShareMedianPercent: 'number',
  imageShareMedianPercent: 'number',
  speedupOverLegacy: 'number',
  speedupCi95Low: 'number',
  speedupCi95High: 'number',
};

export function summaryRows(summary: Summary): SummaryRow[] {
  const groups = summary.groups.map((group) => ({
    workload: group.workload,
    mode: group.mode,
    n: group.samples.length,
    errors: group.failedCount,
    totalMedianMs: group.totalMs && median(group.totalMs),
    totalMinMs: group.totalMs && minimum(group.totalMs),
    totalMaxMs: group.totalMs && maximum(group.totalMs),
    totalMedianCi95LowMs: group.totalInterval?.low,
    totalMedianCi95HighMs: group.totalInterval?.high,
    pullMeanMs: group.meanPullMs,
    createMeanMs: group.meanCreateMs,
    runMeanMs: group.meanRunMs,
    wireBytesMedian: group.medianWireBytes,
    wireRequestsMedian: group.medianWireRequests,
    daemonRssPeakMaxKib: group.maxDaemonRssKib,
    ...shareCells(group),
    ...speedUpCells(group),
  }));
  const overall = summary.overall.map((mode) => ({
    workload: 'all',
    mode: mode.mode,
    n: mode.sampleCount,
    errors: mode.failedCount,
    ...shareCells(mode),
    ...speedUpCells(mode),
  }));
  return [...groups, ...overall];
}

function shareCells({ pullShare, imageShare }: Pick<Group, 'pullShare' | 'imageShare'>) {
  const percent = (share: number | undefined) => share && 100 * share;
  return { pullShareMedianPercent: percent(pullShare), imageShareMedianPercent: percent(imageShare) };
}

function speedUpCells({ speedUp, speedUpInterval }: Pick<Group, 'speedUp' | 'speedUpInterval'>) {
  return {
    speedupOverLegacy: speedUp,
    speedupCi95Low: speedUpInterval?.low,
    speedupCi95High: speedUpInterval?.high,
  };
}

function describeGroup(
  workload: string,
  mode: string,
  own: readonly Sample[],
  baseline: SortedSamples | undefined,
  seed: number,
): Group {
  const good = goodSamples(own);
  const totalMs = totalsOf(good);
  const pair = totalMs && baseline && mode !== baselineOf(mode) ? { baseline, subject: totalMs } : undefined;
  return {
    workload,
    mode,
    samples: good,
    failedCount: own.length - good.length,
    totalMs,
    totalInterval: totalMs && medianInterval(totalMs),
    middle: good[Math.ceil(good.length / 2) - 1],
    meanPullMs: of(good, 'pullMs', mean),
    meanCreateMs: of(good, 'createMs', mean),
    meanRunMs: of(good, 'runMs', mean),
    medianWireBytes: of(good, 'wireBytes', median),
    medianWireRequests: of(good, 'wireRequests', median),
    maxDaemonRssKib: of(good, 'daemonRssPeakKib', maximum),
    pullShare: medianOf(good.map(({ pullMs, totalMs }) => pullMs / totalMs)),
    imageShare: medianOf(good.map(({ wireBytes, imageBytes }) => wireBytes && imageBytes && wireBytes / imageBytes)),
    speedUp: pair && speedUp(pair),
    speedUpInterval: pair && meanSpeedUpInterval([pair], seededRandom(seed)),
  };
}

function describeOverall(mode: string, own: readonly Group[], groups: readonly Group[], seed: number): Overall {
  const pairs = own.flatMap((group): Pair[] => {
    const base = groups.find((other) => other.workload === group.workload && other.mode === baselineOf(mode));
    return base?.totalMs && group.totalMs ? [{ baseline: base.totalMs, subject: group.totalMs }] : [];
  });
  const [first, ...rest] = mode === baselineOf(mode) ? [] : pairs;
  return {
    mode,
    workloadCount: pairs.length,
    sampleCount: own.reduce((sum, group) => sum + group.samples.length, 0),
    failedCount: own.reduce((sum, group) => sum + group.failedCount, 0),
    pullShare: medianOf(own.map((group) => group.pullShare)),
    imageShare: medianOf(own.map((group) => group.imageShare)),
    speedUp: first && meanSpeedUp([first, ...rest]),
    speedUpInterval: first && meanSpeedUpInterval([first, ...rest], seededRandom(seed)),
  };
}

function isGood(sample: Sample): sample is GoodSample {
  const { ok, pullMs, createMs, runMs, totalMs } = sample;
  return ok && [pullMs, createMs, runMs, totalMs].every((value) => value !== undefined);
}

function totalsOf(good: readonly GoodSample[]): SortedSamples | undefined {
  return of(good, 'totalMs', (samples) => samples);
}

/** Of those that are there. */
function medianOf(values: readonly (number | undefined)[]): number | undefined {
  const sorted = sortSamples(values.filter((value) => value !== undefined));
  return sorted && median(sorted);
}

type NumericKey = 'pullMs' | 'createMs' | 'runMs' | 'totalMs' | 'wireBytes' | 'wireRequests' | 'daemonRssPeakKib';

function of<T>(
  samples: readonly GoodSample[],
  key: NumericKey,
  statistic: (values: SortedSamples) => T,
): T | undefined {
  const sorted = sortSamples(samples.flatMap((sample) => sample[key] ?? []));
  return sorted && statistic(sorted);
}
