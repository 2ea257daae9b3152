import { formatFactor, formatSeconds } from '../../../measurements/format.ts';
import { holdTo, type Limit } from '../../../measurements/limit.ts';
import type { Sample } from '../../../measurements/sample.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import { geometricMean } from '../../../measurements/stats/ratio.ts';
import type { Columns } from '../../../measurements/table.ts';
import { peerPrefix } from './modes.ts';

/** A row of summary.csv: one workload in one image format, both daemons. Durations are medians; ratios are ours over the peer's. */
export interface Comparison {
  readonly workload: string;
  /** The image format: stargz, estargz. */
  readonly format: string;
  readonly daemonState: string;
  readonly n: number;
  readonly peerN: number;
  readonly pullMs: number;
  readonly peerPullMs: number;
  readonly createMs: number;
  readonly peerCreateMs: number;
  readonly runMs: number;
  readonly peerRunMs: number;
  readonly totalMs: number;
  readonly peerTotalMs: number;
  readonly pullRatio: number;
  readonly totalRatio: number;
  readonly wireBytes: number | undefined;
  readonly peerWireBytes: number | undefined;
}

export const comparisonColumns: Columns<Comparison> = {
  workload: 'text',
  format: 'text',
  daemonState: 'text',
  n: 'integer',
  peerN: 'integer',
  pullMs: 'number',
  peerPullMs: 'number',
  createMs: 'number',
  peerCreateMs: 'number',
  runMs: 'number',
  peerRunMs: 'number',
  totalMs: 'number',
  peerTotalMs: 'number',
  pullRatio: 'number',
  totalRatio: 'number',
  wireBytes: 'integer',
  peerWireBytes: 'integer',
};

/** Ours over the peer's, at most: where we mean to be. */
const bounds = { worstTotal: 0.75, pull: { fresh: 0.85, warm: 0.7 } } as const;

/** The link matters: with round trips of 100 ms there is more to win, and without any of them less. */
function maxTotal({ rttMs }: ComparedLink): number {
  if (rttMs >= 100) return 0.5;
  return rttMs === 0 ? 0.6 : 0.55;
}

export interface ComparedLink {
  readonly rttMs: number;
}

/** One row for each workload, format and daemon state that both daemons have samples of. */
export function comparePeers(samples: readonly Sample[]): Comparison[] {
  const good = samples.filter((sample) => sample.ok);
  const cells = Map.groupBy(good, ({ workload, mode, daemonState }) =>
    JSON.stringify([workload, formatOf(mode), daemonState]),
  );
  const rows = [...cells.values()].flatMap((cell) => {
    const ours = cell.filter(({ mode }) => !mode.startsWith(peerPrefix));
    const theirs = cell.filter(({ mode }) => mode.startsWith(peerPrefix));
    if (ours.length === 0 || theirs.length === 0) return [];
    const { workload, mode, daemonState } = ours[0]!;
    const [pullMs, peerPullMs] = [medianOf(ours, 'pullMs')!, medianOf(theirs, 'pullMs')!];
    const [totalMs, peerTotalMs] = [medianOf(ours, 'totalMs')!, medianOf(theirs, 'totalMs')!];
    return {
      ...{ workload, format: formatOf(mode), daemonState: daemonState ?? 'fresh' },
      ...{ n: ours.length, peerN: theirs.length },
      ...{ pullMs, peerPullMs, totalMs, peerTotalMs },
      createMs: medianOf(ours, 'createMs')!,
      peerCreateMs: medianOf(theirs, 'createMs')!,
      runMs: medianOf(ours, 'runMs')!,
      peerRunMs: medianOf(theirs, 'runMs')!,
      pullRatio: pullMs / peerPullMs,
      totalRatio: totalMs / peerTotalMs,
      wireBytes: medianOf(ours, 'wireBytes'),
      peerWireBytes: medianOf(theirs, 'wireBytes'),
    };
  });
  return rows.sort((a, b) => sortKey(a).localeCompare(sortKey(b)));
}

function sortKey({ format, daemonState, workload }: Comparison): string {
  return [format, daemonState, workload].join(' ');
}

/** Geometric means over the workloads, and the worst of them, of each format and daemon state. */
export function limitsOf(comparisons: readonly Comparison[], link: ComparedLink): Limit[] {
  const groups = Map.groupBy(comparisons, ({ format, daemonState }) => `${format}, ${daemonState} daemons`);
  return [...groups].flatMap(([name, group]) => [
    holdTo(`total over the peer's, ${name}`, geometricMean(group.map((row) => row.totalRatio)), maxTotal(link), '×'),
    holdTo(
      `total over the peer's, ${name}, the worst workload`,
      Math.max(...group.map((row) => row.totalRatio)),
      bounds.worstTotal,
      '×',
    ),
    holdTo(
      `pull over the peer's, ${name}`,
      geometricMean(group.map((row) => row.pullRatio)),
      bounds.pull[group[0]!.daemonState === 'warm' ? 'warm' : 'fresh'],
      '×',
    ),
  ]);
}

/** One line a row: seconds, ours / the peer's. */
export function renderComparisons(comparisons: readonly Comparison[]): string {
  const heading = ['', 'pull', 'create', 'run', 'total', 'ratio', 'MB'];
  const rows = comparisons.map((row) => [
    `${row.workload} ${row.format} ${row.daemonState}`,
    `${formatSeconds(row.pullMs)} / ${formatSeconds(row.peerPullMs)}`,
    `${formatSeconds(row.createMs)} / ${formatSeconds(row.peerCreateMs)}`,
    `${formatSeconds(row.runMs)} / ${formatSeconds(row.peerRunMs)}`,
    `${formatSeconds(row.totalMs)} / ${formatSeconds(row.peerTotalMs)}`,
    row.totalRatio.toFixed(2),
    `${formatMb(row.wireBytes)} / ${formatMb(row.peerWireBytes)}`,
  ]);
  const table = [heading, ...rows];
  const widths = heading.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return table
    .map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))))
    .map((row) => `${row.join('  ').trimEnd()}\n`)
    .join('');
}

function formatMb(sizeBytes: number | undefined): string {
  return sizeBytes === undefined ? '–' : formatFactor(sizeBytes / 1e6);
}

function formatOf(mode: string): string {
  return mode.startsWith(peerPrefix) ? mode.slice(peerPrefix.length) : mode;
}

function medianOf(samples: readonly Sample[], key: 'pullMs' | 'createMs' | 'runMs' | 'totalMs' | 'wireBytes') {
  const sorted = sortSamples(samples.flatMap((sample) => sample[key] ?? []));
  return sorted && median(sorted);
}
