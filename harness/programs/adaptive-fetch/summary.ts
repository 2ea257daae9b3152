import { holdTo, type Limit } from '../../../measurements/limit.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import type { Columns } from '../../../measurements/table.ts';
import type { FetchCost } from './measure.ts';

const maxTimeRatio = 0.5;
const maxBytesRatio = 1.5;

/** How the daemon fetches: a window that adapts, or one chunk at a time. */
export type Fetching = 'adaptive' | 'single';

/** A row of samples.csv. Two rows with the same sample were measured one after the other. */
export interface FetchTiming extends Omit<FetchCost, 'readBytes'> {
  readonly workload: string;
  readonly sample: number;
  readonly fetching: Fetching;
  readonly rttMs: number;
  readonly bandwidthMbps: number | undefined;
  /** Compressed bytes of the chunks that the workload reads. */
  readonly readBytes: number;
}

export const fetchColumns: Columns<FetchTiming> = {
  workload: 'text',
  sample: 'integer',
  fetching: 'text',
  rttMs: 'number',
  bandwidthMbps: 'number',
  runMs: 'number',
  wireBytes: 'integer',
  wireRequests: 'integer',
  readBytes: 'integer',
  daemonCpuMs: 'number',
};

/** A row of summary.csv. */
export interface FetchSummary {
  readonly fetching: Fetching;
  readonly n: number;
  readonly runMedianMs: number;
  readonly wireBytesMedian: number;
}

export const fetchSummaryColumns: Columns<FetchSummary> = {
  fetching: 'text',
  n: 'integer',
  runMedianMs: 'number',
  wireBytesMedian: 'integer',
};

export function summarizeFetches(timings: readonly FetchTiming[]): FetchSummary[] {
  return [...Map.groupBy(timings, ({ fetching }) => fetching)].map(([fetching, group]) => ({
    fetching,
    n: group.length,
    runMedianMs: medianOf(group.map(({ runMs }) => runMs)),
    wireBytesMedian: medianOf(group.map(({ wireBytes }) => wireBytes)),
  }));
}

/** Ratios within a pair, then their median. */
export function limitsOf(timings: readonly FetchTiming[]): Limit[] {
  const pairs = [...Map.groupBy(timings, ({ sample }) => sample).values()].map((pair) => ({
    adaptive: pair.find(({ fetching }) => fetching === 'adaptive')!,
    single: pair.find(({ fetching }) => fetching === 'single')!,
  }));
  const timeRatio = medianOf(pairs.map(({ adaptive, single }) => adaptive.runMs / single.runMs));
  const bytesRatio = medianOf(pairs.map(({ adaptive }) => adaptive.wireBytes / adaptive.readBytes));
  return [
    holdTo('run phase, adaptive against one chunk at a time', timeRatio, maxTimeRatio, '×'),
    holdTo('bytes on the wire, against the compressed bytes that were read', bytesRatio, maxBytesRatio, '×'),
  ];
}

function medianOf(values: readonly number[]): number {
  return median(sortSamples(values)!);
}
