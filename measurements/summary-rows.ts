import type { Verdict } from './comparison.ts';
import { maximum, mean, median, minimum } from './stats/median.ts';
import { medianAbsoluteDeviation, quantile, standardDeviation } from './stats/spread.ts';
import type { Compared, Group, Overall, Summary } from './summary.ts';
import type { Columns } from './table.ts';

/** A row of summary.csv. The workload `all` stands for all: the geometric mean of their speed-ups, the medians of their shares. */
export interface SummaryRow {
  readonly workload: string;
  readonly mode: string;
  readonly rttMs: number | undefined;
  readonly bandwidthMbps: number | undefined;
  /** The model of TCP: `slow start`. */
  readonly tcp?: string | undefined;
  readonly n: number;
  readonly errors: number;
  readonly totalMedianMs?: number | undefined;
  readonly totalMedianCi95LowMs?: number | undefined;
  readonly totalMedianCi95HighMs?: number | undefined;
  readonly totalMinMs?: number | undefined;
  readonly totalQ1Ms?: number | undefined;
  readonly totalQ3Ms?: number | undefined;
  readonly totalMaxMs?: number | undefined;
  readonly totalMeanMs?: number | undefined;
  readonly totalSdMs?: number | undefined;
  readonly totalMadMs?: number | undefined;
  /** Samples far from the others, which are in all statistics. */
  readonly outliers?: number | undefined;
  readonly pullMeanMs?: number | undefined;
  readonly createMeanMs?: number | undefined;
  readonly runMeanMs?: number | undefined;
  readonly wireBytesMedian?: number | undefined;
  readonly wireRequestsMedian?: number | undefined;
  readonly daemonRssPeakMaxKib?: number | undefined;
  readonly pullShareMedianPercent?: number | undefined;
  readonly imageShareMedianPercent?: number | undefined;
  /** The mode that this one is compared with. */
  readonly reference?: string | undefined;
  /** Rounds in which both were measured. */
  readonly rounds?: number | undefined;
  /** The reference's total / this one's, median over the rounds. */
  readonly speedup?: number | undefined;
  readonly speedupCi95Low?: number | undefined;
  readonly speedupCi95High?: number | undefined;
  readonly effectSize?: number | undefined;
  readonly pValue?: number | undefined;
  /** Holm's, over all comparisons of the run. */
  readonly pAdjusted?: number | undefined;
  readonly verdict?: Verdict | undefined;
}

export const summaryColumns: Columns<SummaryRow> = {
  workload: 'text',
  mode: 'text',
  rttMs: 'number',
  bandwidthMbps: 'number',
  tcp: 'text',
  n: 'integer',
  errors: 'integer',
  totalMedianMs: 'number',
  totalMedianCi95LowMs: 'number',
  totalMedianCi95HighMs: 'number',
  totalMinMs: 'number',
  totalQ1Ms: 'number',
  totalQ3Ms: 'number',
  totalMaxMs: 'number',
  totalMeanMs: 'number',
  totalSdMs: 'number',
  totalMadMs: 'number',
  outliers: 'integer',
  pullMeanMs: 'number',
  createMeanMs: 'number',
  runMeanMs: 'number',
  wireBytesMedian: 'number',
  wireRequestsMedian: 'number',
  daemonRssPeakMaxKib: 'integer',
  pullShareMedianPercent: 'number',
  imageShareMedianPercent: 'number',
  reference: 'text',
  rounds: 'integer',
  speedup: 'number',
  speedupCi95Low: 'number',
  speedupCi95High: 'number',
  effectSize: 'number',
  pValue: 'significant',
  pAdjusted: 'significant',
  verdict: 'text',
};

export function summaryRows(summary: Summary): SummaryRow[] {
  return [...summary.groups.map(groupRow), ...summary.overall.map(overallRow)];
}

function groupRow(group: Group): SummaryRow {
  const { totalMs, comparison } = group;
  return {
    workload: group.workload,
    mode: group.mode,
    rttMs: group.rttMs,
    bandwidthMbps: group.bandwidthMbps,
    tcp: group.tcp,
    n: group.samples.length,
    errors: group.failedCount,
    totalMedianMs: totalMs && median(totalMs),
    totalMedianCi95LowMs: group.totalInterval?.low,
    totalMedianCi95HighMs: group.totalInterval?.high,
    totalMinMs: totalMs && minimum(totalMs),
    totalQ1Ms: totalMs && quantile(totalMs, 0.25),
    totalQ3Ms: totalMs && quantile(totalMs, 0.75),
    totalMaxMs: totalMs && maximum(totalMs),
    totalMeanMs: totalMs && mean(totalMs),
    totalSdMs: totalMs && standardDeviation(totalMs),
    totalMadMs: totalMs && medianAbsoluteDeviation(totalMs),
    outliers: totalMs && group.outliers.length,
    pullMeanMs: group.meanPullMs,
    createMeanMs: group.meanCreateMs,
    runMeanMs: group.meanRunMs,
    wireBytesMedian: group.medianWireBytes,
    wireRequestsMedian: group.medianWireRequests,
    daemonRssPeakMaxKib: group.maxDaemonRssKib,
    ...shareCells(group),
    rounds: comparison?.roundCount,
    ...comparedCells(group),
    effectSize: comparison?.effectSize,
    pValue: comparison?.p,
    pAdjusted: comparison?.adjustedP,
  };
}

function overallRow(overall: Overall): SummaryRow {
  return {
    workload: 'all',
    mode: overall.mode,
    rttMs: overall.rttMs,
    bandwidthMbps: overall.bandwidthMbps,
    tcp: overall.tcp,
    n: overall.sampleCount,
    errors: overall.failedCount,
    ...shareCells(overall),
    rounds: overall.reference === undefined ? undefined : overall.roundCount,
    ...comparedCells(overall),
  };
}

function shareCells({ pullShare, imageShare }: Pick<Group, 'pullShare' | 'imageShare'>) {
  const percent = (share: number | undefined) => share && 100 * share;
  return { pullShareMedianPercent: percent(pullShare), imageShareMedianPercent: percent(imageShare) };
}

function comparedCells({ reference, speedUp, speedUpInterval, verdict }: Compared) {
  return {
    reference,
    speedup: speedUp,
    speedupCi95Low: speedUpInterval?.low,
    speedupCi95High: speedUpInterval?.high,
    verdict,
  };
}
