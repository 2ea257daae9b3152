import { formatMegabytes, formatSeconds } from '../../../measurements/format.ts';
import { holdTo, type Limit } from '../../../measurements/limit.ts';
import type { Sample } from '../../../measurements/sample.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import { geometricMean } from '../../../measurements/stats/ratio.ts';
import type { Columns } from '../../../measurements/table.ts';

/** A row of summary.csv: a workload's start beside the least that any lazy start can take. Durations are medians. */
export interface FloorRow {
  readonly workload: string;
  readonly n: number;
  /** Compressed bytes of the chunks that the workload reads. */
  readonly neededBytes: number;
  /** The run phase of the image that containerd unpacked, whose pages are in the page cache. */
  readonly warmRunMs: number;
  /** Three round trips, the needed bytes at the link's bandwidth, and the warm run. */
  readonly floorMs: number;
  readonly totalMs: number;
  readonly overFloor: number;
  readonly wireBytes: number;
  readonly wireOverNeeded: number;
}

export const floorColumns: Columns<FloorRow> = {
  workload: 'text',
  n: 'integer',
  neededBytes: 'integer',
  warmRunMs: 'number',
  floorMs: 'number',
  totalMs: 'number',
  overFloor: 'number',
  wireBytes: 'integer',
  wireOverNeeded: 'number',
};

const bounds = { overFloor: 1.35, wireOverNeeded: 1.15 } as const;
const roundTrips = 3;

export interface FloorLink {
  readonly rttMs: number;
  readonly bandwidthMbps: number | undefined;
}

/** `needed`: compressed bytes by workload. Samples of the modes legacy and `lazyMode`; a workload without both has no row. */
export function compareWithFloor(
  samples: readonly Sample[],
  lazyMode: string,
  needed: ReadonlyMap<string, number>,
  { rttMs, bandwidthMbps }: FloorLink,
): FloorRow[] {
  return [...needed].flatMap(([workload, neededBytes]) => {
    const good = samples.filter((sample) => sample.ok && sample.workload === workload);
    const lazy = good.filter(({ mode }) => mode === lazyMode);
    const warmRunMs = medianOf(good.filter(({ mode }) => mode === 'legacy').map((sample) => sample.runMs));
    const totalMs = medianOf(lazy.map((sample) => sample.totalMs));
    const wireBytes = medianOf(lazy.map((sample) => sample.wireBytes));
    if (warmRunMs === undefined || totalMs === undefined || wireBytes === undefined) return [];
    const transferMs = bandwidthMbps === undefined ? 0 : (neededBytes * 8) / (bandwidthMbps * 1000);
    const floorMs = roundTrips * rttMs + transferMs + warmRunMs;
    const ratios = { overFloor: totalMs / floorMs, wireOverNeeded: wireBytes / neededBytes };
    return [{ workload, n: lazy.length, neededBytes, warmRunMs, floorMs, totalMs, wireBytes, ...ratios }];
  });
}

/** Geometric means over the workloads. */
export function limitsOf(rows: readonly FloorRow[]): Limit[] {
  return [
    holdTo('total over the floor', geometricMean(rows.map((row) => row.overFloor)), bounds.overFloor, '×'),
    holdTo(
      'bytes on the wire over the compressed bytes that were read',
      geometricMean(rows.map((row) => row.wireOverNeeded)),
      bounds.wireOverNeeded,
      '×',
    ),
  ];
}

export function describeFloor(row: FloorRow): string {
  const { workload, totalMs, floorMs, overFloor, wireBytes, neededBytes, wireOverNeeded } = row;
  return (
    `${workload}: ${formatSeconds(totalMs)} s, the floor ${formatSeconds(floorMs)} s (${overFloor.toFixed(2)}×); ` +
    `${formatMegabytes(wireBytes)} MB of ${formatMegabytes(neededBytes)} MB needed (${wireOverNeeded.toFixed(2)}×)`
  );
}

function medianOf(values: readonly (number | undefined)[]): number | undefined {
  const sorted = sortSamples(values.filter((value) => value !== undefined));
  return sorted && median(sorted);
}
