import { holdTo, type Limit } from '../../../measurements/limit.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import type { Columns } from '../../../measurements/table.ts';

/** Of a cell: all images pulled at once, then all containers started at once. */
export interface ScaleCost {
  readonly images: number;
  /** Distinct ones; with a lazy mode, as many are mounted. */
  readonly layers: number;
  readonly containers: number;
  /** Until the last image was there. */
  readonly pullMs: number;
  /** Until the last container had read all files and ended. */
  readonly runMs: number;
  readonly wireBytes: number;
  readonly wireRequests: number | undefined;
  readonly daemonCpuMs: number | undefined;
  readonly daemonRssAfterPullKib: number | undefined;
  readonly daemonRssPeakKib: number | undefined;
  readonly keeperRssPeakKib: number | undefined;
}

/** A row of samples.csv. Rows with the same sample were measured one after the other. */
export interface ScaleTiming extends ScaleCost {
  readonly mode: string;
  readonly sample: number;
  readonly rttMs: number;
  readonly bandwidthMbps: number | undefined;
}

export const scaleColumns: Columns<ScaleTiming> = {
  mode: 'text',
  sample: 'integer',
  rttMs: 'number',
  bandwidthMbps: 'number',
  images: 'integer',
  layers: 'integer',
  containers: 'integer',
  pullMs: 'number',
  runMs: 'number',
  wireBytes: 'integer',
  wireRequests: 'integer',
  daemonCpuMs: 'number',
  daemonRssAfterPullKib: 'integer',
  daemonRssPeakKib: 'integer',
  keeperRssPeakKib: 'integer',
};

/** A row of summary.csv; medians, and the highest peaks. */
export interface ScaleSummary {
  readonly mode: string;
  readonly n: number;
  readonly pullMs: number;
  readonly runMs: number;
  /** Of the sum over legacy's in the same round. */
  readonly overLegacy: number;
  readonly daemonRssPeakMaxKib: number | undefined;
  readonly keeperRssPeakMaxKib: number | undefined;
}

export const scaleSummaryColumns: Columns<ScaleSummary> = {
  mode: 'text',
  n: 'integer',
  pullMs: 'number',
  runMs: 'number',
  overLegacy: 'number',
  daemonRssPeakMaxKib: 'integer',
  keeperRssPeakMaxKib: 'integer',
};

const reference = 'legacy';
const maxOverLegacy = 1;
/** Daemon and keeper while several images are pulled, and what each mounted layer adds. */
const baseRssMib = 300;
const rssKibPerLayer = 30;

export function summarizeScale(timings: readonly ScaleTiming[]): ScaleSummary[] {
  const totalOf = ({ pullMs, runMs }: ScaleTiming): number => pullMs + runMs;
  const legacy = new Map(timings.filter(({ mode }) => mode === reference).map((row) => [row.sample, totalOf(row)]));
  return [...Map.groupBy(timings, ({ mode }) => mode)].map(([mode, group]) => ({
    mode,
    n: group.length,
    pullMs: medianOf(group.map((row) => row.pullMs)),
    runMs: medianOf(group.map((row) => row.runMs)),
    overLegacy: medianOf(group.map((row) => totalOf(row) / legacy.get(row.sample)!)),
    daemonRssPeakMaxKib: maxOf(group.map((row) => row.daemonRssPeakKib)),
    keeperRssPeakMaxKib: maxOf(group.map((row) => row.keeperRssPeakKib)),
  }));
}

export function limitsOf(summary: readonly ScaleSummary[], layers: number): Limit[] {
  const lazy = summary.filter(({ mode }) => mode !== reference);
  const maxRssMib = baseRssMib + (layers * rssKibPerLayer) / 1024;
  return lazy.flatMap(({ mode, overLegacy, daemonRssPeakMaxKib = 0, keeperRssPeakMaxKib = 0 }) => [
    holdTo(`total over legacy's, ${mode}`, overLegacy, maxOverLegacy, '×'),
    holdTo(
      `peak RSS of daemon and keeper, ${mode}`,
      (daemonRssPeakMaxKib + keeperRssPeakMaxKib) / 1024,
      maxRssMib,
      'MiB',
    ),
  ]);
}

function medianOf(values: readonly number[]): number {
  return median(sortSamples(values)!);
}

function maxOf(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
