import {
  type Comparison,
  compareTimes,
  type Observation,
  pairByRound,
  type Verdict,
  verdictOfRatio,
} from './comparison.ts';
import { type Drift, findDrift } from './drift.ts';
import type { Sample } from './sample.ts';
import {
  type Interval,
  maximum,
  mean,
  median,
  medianInterval,
  type SortedSamples,
  sortSamples,
} from './stats/median.ts';
import { geometricMean, pairedRatio } from './stats/ratio.ts';
import { isOutlier } from './stats/spread.ts';

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

/** The link of a sample. Two are the same if all fields are. */
export type SampleLink = Pick<Sample, 'rttMs' | 'bandwidthMbps' | 'tcp'>;

/** What a group comes to beside its reference: the same workload over the same link in another mode. Undefined where there is none. */
export interface Compared {
  /** The mode that this one is compared with; undefined: with none. */
  readonly reference: string | undefined;
  /** The reference's total / this one's, the median over the rounds in which both were measured: above 1 is faster. */
  readonly speedUp: number | undefined;
  readonly speedUpInterval: Interval | undefined;
  readonly verdict: Verdict | undefined;
}

/** One workload in one mode over one link. Statistics are of the good samples; undefined where there is none. */
export interface Group extends Compared, SampleLink {
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
  /** Those whose total is far from the others. They are in every statistic all the same. */
  readonly outliers: readonly GoodSample[];
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
  /** The tests behind the verdict. */
  readonly comparison: Comparison | undefined;
}

/** A mode over all workloads that were measured over one link both in it and in its reference. */
export interface Overall extends Compared, SampleLink {
  readonly mode: string;
  /** Those in the mean. */
  readonly workloadCount: number;
  /** Rounds in which all of them were measured in both modes; the speed-up is the median of their geometric means. */
  readonly roundCount: number;
  readonly sampleCount: number;
  readonly failedCount: number;
  /** Medians of the workloads' shares. */
  readonly pullShare: number | undefined;
  readonly imageShare: number | undefined;
}

/** Names, in the order in which tables and charts show them. */
export interface DisplayOrder {
  readonly workloads: readonly string[];
  readonly modes: readonly string[];
}

export interface Summary extends DisplayOrder {
  /** Shortest round trip first, then the lowest bandwidth. */
  readonly links: readonly SampleLink[];
  /** In the order of `links`, then of `workloads`, then of `modes`. */
  readonly groups: readonly Group[];
  readonly overall: readonly Overall[];
  /** How many comparisons of groups the verdicts are adjusted for. */
  readonly comparisonCount: number;
  /** Undefined where there are too few rounds to tell. */
  readonly drift: Drift | undefined;
}

/**
 * The statistics of a run: nothing in them is random. `referenceOf` names the mode that a mode is compared with; one that is compared
 * with itself, or with a mode that was not measured, is compared with none.
 */
export function summarize(
  samples: readonly Sample[],
  order: DisplayOrder,
  referenceOf: (mode: string) => string = baselineOf,
): Summary {
  const links = linksOf(samples);
  const described = links.flatMap((link) =>
    order.workloads.flatMap((workload) =>
      order.modes.flatMap((mode) => {
        const own = samples.filter((one) => one.workload === workload && one.mode === mode && isSameLink(one, link));
        return own.length === 0 ? [] : [describeGroup(workload, mode, link, own)];
      }),
    ),
  );
  const groups = compareGroups(described, referenceOf);
  const overall = links.flatMap((link) =>
    order.modes.flatMap((mode) => {
      const here = groups.filter((group) => isSameLink(group, link));
      return here.some((group) => group.mode === mode) ? [describeOverall(mode, link, here, referenceOf(mode))] : [];
    }),
  );
  const comparisonCount = groups.filter((group) => group.comparison !== undefined).length;
  return { ...order, links, groups, overall, comparisonCount, drift: findDrift(groups) };
}

/** The samples that count, ascending by total. */
export function goodSamples(samples: readonly Sample[]): GoodSample[] {
  return samples.filter(isGood).sort((one, other) => one.totalMs - other.totalMs);
}

export function isSameLink(one: SampleLink, other: SampleLink): boolean {
  return one.rttMs === other.rttMs && one.bandwidthMbps === other.bandwidthMbps && one.tcp === other.tcp;
}

function linksOf(samples: readonly Sample[]): SampleLink[] {
  const links: SampleLink[] = [];
  for (const sample of samples) {
    const { rttMs, bandwidthMbps, tcp } = sample;
    if (!links.some((link) => isSameLink(link, sample))) links.push({ rttMs, bandwidthMbps, tcp });
  }
  const rank = ({ rttMs = -1, bandwidthMbps = Number.MAX_VALUE }: SampleLink) => [rttMs, bandwidthMbps] as const;
  return links.sort((one, other) => rank(one)[0] - rank(other)[0] || rank(one)[1] - rank(other)[1]);
}

type Described = Omit<Group, keyof Compared | 'comparison'>;

function describeGroup(workload: string, mode: string, link: SampleLink, own: readonly Sample[]): Described {
  const good = goodSamples(own);
  const totalMs = of(good, 'totalMs', (totals) => totals);
  return {
    workload,
    mode,
    ...link,
    samples: good,
    failedCount: own.length - good.length,
    totalMs,
    totalInterval: totalMs && medianInterval(totalMs),
    middle: good[Math.ceil(good.length / 2) - 1],
    outliers: totalMs === undefined ? [] : good.filter((sample) => isOutlier(sample.totalMs, totalMs)),
    meanPullMs: of(good, 'pullMs', mean),
    meanCreateMs: of(good, 'createMs', mean),
    meanRunMs: of(good, 'runMs', mean),
    medianWireBytes: of(good, 'wireBytes', median),
    medianWireRequests: of(good, 'wireRequests', median),
    maxDaemonRssKib: of(good, 'daemonRssPeakKib', maximum),
    pullShare: medianOf(good.map(({ pullMs, totalMs: total }) => pullMs / total)),
    imageShare: medianOf(good.map(({ wireBytes, imageBytes }) => wireBytes && imageBytes && wireBytes / imageBytes)),
  };
}

function compareGroups(groups: readonly Described[], referenceOf: (mode: string) => string): Group[] {
  const requests = groups.map((group) => {
    const name = referenceOf(group.mode);
    const base = groups.find(
      (other) => other.mode === name && other.workload === group.workload && isSameLink(other, group),
    );
    return {
      reference: base === undefined || base === group ? [] : observe(base),
      subject: observe(group),
      paired: true,
    };
  });
  const comparisons = compareTimes(requests);
  return groups.map((group, index) => {
    const comparison = comparisons[index];
    if (comparison === undefined) return { ...group, ...notCompared, comparison };
    const { ratio, ratioInterval, verdict } = comparison;
    return { ...group, ...comparedBy(referenceOf(group.mode), ratio, ratioInterval, verdict), comparison };
  });
}

function describeOverall(mode: string, link: SampleLink, here: readonly Group[], reference: string): Overall {
  const own = here.filter((group) => group.mode === mode);
  const counts = {
    mode,
    ...link,
    sampleCount: own.reduce((sum, group) => sum + group.samples.length, 0),
    failedCount: own.reduce((sum, group) => sum + group.failedCount, 0),
    pullShare: medianOf(own.map((group) => group.pullShare)),
    imageShare: medianOf(own.map((group) => group.imageShare)),
  };
  const byWorkload = own.flatMap((group) => {
    const base = here.find((other) => other.mode === reference && other.workload === group.workload);
    return base === undefined || base === group ? [] : [ratiosByRound(base, group)];
  });
  const { ratios, workloadCount } = completeRounds(byWorkload.filter((rounds) => rounds.size > 0));
  const [first, ...rest] = ratios.map((subject) => ({ reference: 1, subject }));
  if (first === undefined) return { ...counts, ...notCompared, workloadCount: 0, roundCount: 0 };
  const estimate = pairedRatio([first, ...rest]);
  return {
    ...counts,
    ...comparedBy(reference, estimate.ratio, estimate.interval, verdictOfRatio(estimate)),
    workloadCount,
    roundCount: ratios.length,
  };
}

/**
 * The geometric mean over the workloads in each round. A mean over other workloads would be another number, so all must be there: either
 * the rounds that lack one are left out, or the workloads that lack a round, whichever leaves more.
 */
function completeRounds(byWorkload: readonly ReadonlyMap<number, number>[]) {
  const rounds = [...new Set(byWorkload.flatMap((ratios) => [...ratios.keys()]))];
  const fullRounds = rounds.filter((round) => byWorkload.every((ratios) => ratios.has(round)));
  const fullWorkloads = byWorkload.filter((ratios) => ratios.size === rounds.length);
  const keepsWorkloads = fullRounds.length * byWorkload.length >= rounds.length * fullWorkloads.length;
  const [workloads, kept] = keepsWorkloads ? [byWorkload, fullRounds] : [fullWorkloads, rounds];
  return {
    workloadCount: workloads.length,
    ratios: kept.map((round) => geometricMean(workloads.map((ratios) => ratios.get(round)!))),
  };
}

function ratiosByRound(base: Described, group: Described): ReadonlyMap<number, number> {
  const references = observe(base);
  return new Map(
    observe(group).flatMap((one) => {
      const [pair] = pairByRound(references, [one]);
      return pair === undefined ? [] : [[one.round, pair.subject / pair.reference]];
    }),
  );
}

const notCompared: Compared = {
  ...{ reference: undefined, speedUp: undefined, speedUpInterval: undefined, verdict: undefined },
};

/** Turns a ratio of times into a speed-up. */
function comparedBy(reference: string, ratio: number, interval: Interval | undefined, verdict: Verdict): Compared {
  const speedUpInterval = interval && { low: 1 / interval.high, high: 1 / interval.low };
  return { reference, speedUp: 1 / ratio, speedUpInterval, verdict };
}

/** Sample k of every group is measured in block k of the plan, on the machine of its run. */
export function observe({ samples }: Pick<Group, 'samples'>): Observation[] {
  return samples.map((sample) => ({ round: sample.sample, value: sample.totalMs, place: sample.runId }));
}

function isGood(sample: Sample): sample is GoodSample {
  const { ok, pullMs, createMs, runMs, totalMs } = sample;
  return ok && [pullMs, createMs, runMs, totalMs].every((value) => value !== undefined);
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
