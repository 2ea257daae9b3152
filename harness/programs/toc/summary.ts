import { holdTo, type Limit } from '../../../measurements/limit.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import type { Columns } from '../../../measurements/table.ts';
import type { LargeMount } from './measure.ts';

const maxMountMs = 1000;
const maxGrowthBytes = 60e6;

/** A row of samples.csv. */
export interface TocMount extends Omit<LargeMount, 'names'> {
  readonly sample: number;
}

export const tocMountColumns: Columns<TocMount> = {
  face: 'text',
  sample: 'integer',
  entries: 'integer',
  tocBytes: 'integer',
  mountMs: 'number',
  cpuMs: 'number',
  peakGrowthBytes: 'integer',
};

/** A row of summary.csv. */
export interface TocSummary {
  readonly face: string;
  readonly entries: number;
  readonly n: number;
  readonly mountMedianMs: number;
  readonly peakGrowthMaxBytes: number;
}

export const tocSummaryColumns: Columns<TocSummary> = {
  face: 'text',
  entries: 'integer',
  n: 'integer',
  mountMedianMs: 'number',
  peakGrowthMaxBytes: 'integer',
};

export function summarizeMounts(mounted: readonly TocMount[]): TocSummary[] {
  return [...Map.groupBy(mounted, ({ face }) => face)].map(([face, group]) => ({
    face,
    entries: group[0]!.entries,
    n: group.length,
    mountMedianMs: median(sortSamples(group.map(({ mountMs }) => mountMs))!),
    peakGrowthMaxBytes: Math.max(...group.map(({ peakGrowthBytes }) => peakGrowthBytes)),
  }));
}

export function limitsOf(summary: readonly TocSummary[]): Limit[] {
  return summary.flatMap(({ face, entries, mountMedianMs, peakGrowthMaxBytes }) => [
    holdTo(`mount of ${entries} entries, ${face}`, mountMedianMs, maxMountMs, 'ms'),
    holdTo(`growth of the peak RSS, ${face}`, peakGrowthMaxBytes / 1e6, maxGrowthBytes / 1e6, 'MB'),
  ]);
}
