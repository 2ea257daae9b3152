import { formatSeconds } from '../../../measurements/format.ts';
import { holdTo, type Limit } from '../../../measurements/limit.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import type { Columns } from '../../../measurements/table.ts';
import type { WholeReadCost } from './measure.ts';

/** A row of samples.csv. Rows with the same sample were measured one after the other. */
export interface WholeReadTiming extends WholeReadCost {
  readonly mode: string;
  readonly sample: number;
  /** Of the file. */
  readonly sizeMib: number;
  readonly rttMs: number;
  readonly bandwidthMbps: number | undefined;
}

export const wholeReadColumns: Columns<WholeReadTiming> = {
  mode: 'text',
  sample: 'integer',
  sizeMib: 'integer',
  rttMs: 'number',
  bandwidthMbps: 'number',
  pullMs: 'number',
  readMs: 'number',
  totalMs: 'number',
  wireBytes: 'integer',
  wireRequests: 'integer',
  daemonCpuMs: 'number',
  daemonRssPeakKib: 'integer',
};

/** A row of summary.csv; medians. */
export interface WholeReadSummary {
  readonly mode: string;
  readonly n: number;
  readonly pullMs: number;
  readonly readMs: number;
  readonly totalMs: number;
  /** Of the total over legacy's in the same round. */
  readonly overLegacy: number;
  /** The file over the total, as a share of the link; undefined for an unlimited one. */
  readonly linkShare: number | undefined;
}

export const wholeReadSummaryColumns: Columns<WholeReadSummary> = {
  mode: 'text',
  n: 'integer',
  pullMs: 'number',
  readMs: 'number',
  totalMs: 'number',
  overLegacy: 'number',
  linkShare: 'number',
};

const reference = 'legacy';
/** Lazy pulling must not lose where everything is needed. */
const maxOverLegacy = 1;

export function summarizeWholeReads(timings: readonly WholeReadTiming[]): WholeReadSummary[] {
  const legacyOf = new Map(
    timings.filter(({ mode }) => mode === reference).map(({ sample, totalMs }) => [sample, totalMs]),
  );
  return [...Map.groupBy(timings, ({ mode }) => mode)].map(([mode, group]) => {
    const totalMs = medianOf(group.map((row) => row.totalMs));
    const { sizeMib, bandwidthMbps } = group[0]!;
    return {
      mode,
      n: group.length,
      pullMs: medianOf(group.map((row) => row.pullMs)),
      readMs: medianOf(group.map((row) => row.readMs)),
      totalMs,
      overLegacy: medianOf(group.map((row) => row.totalMs / legacyOf.get(row.sample)!)),
      linkShare: bandwidthMbps && (sizeMib * 1024 * 1024 * 8) / (bandwidthMbps * 1000) / totalMs,
    };
  });
}

export function limitsOf(summary: readonly WholeReadSummary[]): Limit[] {
  return summary
    .filter(({ mode }) => mode !== reference)
    .map(({ mode, overLegacy }) => holdTo(`total over legacy's, ${mode}`, overLegacy, maxOverLegacy, '×'));
}

export function describeWholeRead({ mode, pullMs, readMs, totalMs }: WholeReadTiming): string {
  return `${mode}: pull ${formatSeconds(pullMs)} s, read ${formatSeconds(readMs)} s, total ${formatSeconds(totalMs)} s`;
}

function medianOf(values: readonly number[]): number {
  return median(sortSamples(values)!);
}
