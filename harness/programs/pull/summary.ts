import { holdTo, type Limit } from '../../../measurements/limit.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import type { Columns } from '../../../measurements/table.ts';
import type { PullCost } from './measure.ts';

const roundTrips = 12;
const msPerLayer = 10;
/** Of a pull of the same files in many layers over one in few. */
const maxOverFewest = 1.3;

/** A row of samples.csv. */
export interface PullTiming extends PullCost {
  readonly image: string;
  readonly mode: string;
  readonly sample: number;
  readonly rttMs: number;
  readonly limitMs: number;
}

export const pullTimingColumns: Columns<PullTiming> = {
  image: 'text',
  mode: 'text',
  layers: 'integer',
  sample: 'integer',
  rttMs: 'number',
  limitMs: 'number',
  pullMs: 'number',
  wireRequests: 'integer',
  wireBytes: 'integer',
  daemonCpuMs: 'number',
  daemonRssPeakKib: 'integer',
};

/** A row of summary.csv: one image in one mode. */
export interface PullSummary {
  readonly image: string;
  readonly mode: string;
  readonly layers: number;
  readonly n: number;
  readonly pullMedianMs: number;
  readonly limitMs: number;
  readonly wireRequestsMedian: number | undefined;
  readonly daemonRssPeakMaxKib: number | undefined;
}

export const pullSummaryColumns: Columns<PullSummary> = {
  image: 'text',
  mode: 'text',
  layers: 'integer',
  n: 'integer',
  pullMedianMs: 'number',
  limitMs: 'number',
  wireRequestsMedian: 'number',
  daemonRssPeakMaxKib: 'integer',
};

export function limitMsOf(rttMs: number, layers: number): number {
  return roundTrips * rttMs + msPerLayer * layers;
}

export function summarizePulls(timings: readonly PullTiming[]): PullSummary[] {
  return [...Map.groupBy(timings, ({ image, mode }) => `${image} ${mode}`).values()].map((group) => {
    const { image, mode, layers, limitMs } = group[0]!;
    const sorted = (key: 'pullMs' | 'wireRequests' | 'daemonRssPeakKib') =>
      sortSamples(group.flatMap((timing) => timing[key] ?? []));
    const [requests, rssKib] = [sorted('wireRequests'), sorted('daemonRssPeakKib')];
    return {
      ...{ image, mode, layers, limitMs },
      n: group.length,
      pullMedianMs: median(sorted('pullMs')!),
      wireRequestsMedian: requests && median(requests),
      daemonRssPeakMaxKib: rssKib?.at(-1),
    };
  });
}

export function limitsOf(summary: readonly PullSummary[]): Limit[] {
  return summary.map(({ image, mode, layers, pullMedianMs, limitMs }) =>
    holdTo(`pull of ${image} (${layers} layers), ${mode}`, pullMedianMs, limitMs, 'ms'),
  );
}

/** Each image but the first against the first, paired by round, per mode. */
export function splitLimitsOf(timings: readonly PullTiming[], images: readonly string[]): Limit[] {
  const [fewest, ...others] = images;
  const of = (image: string | undefined, mode: string) =>
    timings.filter((timing) => timing.image === image && timing.mode === mode);
  return [...new Set(timings.map(({ mode }) => mode))].flatMap((mode) => {
    const base = new Map(of(fewest, mode).map(({ sample, pullMs }) => [sample, pullMs]));
    return others.map((image) => {
      const ratios = of(image, mode).map(({ sample, pullMs }) => pullMs / base.get(sample)!);
      return holdTo(`pull of ${image} over ${fewest}, ${mode}`, median(sortSamples(ratios)!), maxOverFewest, '×');
    });
  });
}
