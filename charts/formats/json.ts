import { median } from '../../measurements/stats/median.ts';
import type { Group } from '../../measurements/summary.ts';
import { summaryRows } from '../../measurements/summary-rows.ts';
import { cellsOf } from '../report/cells.ts';
import { describeRun } from '../report/words.ts';
import { type Run, summaryOf } from '../run/run.ts';

/** Raised when a field changes its meaning or goes. */
const schema = 1;

/** The run in words and numbers: the rows are those of summary.csv, with the same names and units. */
export function runJson(run: Run): string {
  const { environment } = run;
  return stringify({
    ...{ schema, runId: run.runId, commit: environment?.commit ?? null, dirty: environment?.dirty ?? null },
    ...{ command: environment?.command ?? null, ...describeRun(run), verdict: run.verdict ?? null },
    rows: summaryRows(summaryOf(run)),
  });
}

interface Metric {
  readonly name: string;
  readonly unit: string;
  readonly read: (group: Group) => number | undefined;
}

const metrics: readonly Metric[] = [
  { name: 'total', unit: 's', read: ({ totalMs }) => totalMs && median(totalMs) / 1000 },
  { name: 'bytes on the wire', unit: 'MB', read: ({ medianWireBytes }) => medianWireBytes && medianWireBytes / 1e6 },
  { name: 'requests', unit: 'requests', read: ({ medianWireRequests }) => medianWireRequests },
];

/** What github-action-benchmark reads as `customSmallerIsBetter`: an entry per workload, mode, link and metric. */
export function benchmarkActionJson(run: Run): string {
  return stringify(
    cellsOf(run).flatMap(({ at, group }) =>
      metrics.flatMap(({ name, unit, read }) => {
        const value = read(group);
        if (value === undefined) return [];
        const interval = name === 'total' ? group.totalInterval : undefined;
        const range = interval && `${(interval.low / 1000).toFixed(3)} to ${(interval.high / 1000).toFixed(3)}`;
        return [
          { name: `${nameOf(run, group, at.name)}: ${name}`, unit, value, range, extra: `n = ${group.samples.length}` },
        ];
      }),
    ),
  );
}

/** Bencher Metric Format: measures by benchmark. `latency` is Bencher's own, in nanoseconds; the others are to be made there once. */
export function bencherJson(run: Run): string {
  return stringify(
    Object.fromEntries(
      cellsOf(run).flatMap(({ at, group }) => {
        const { totalMs, totalInterval, medianWireBytes, medianWireRequests } = group;
        if (totalMs === undefined) return [];
        const latency = {
          value: median(totalMs) * 1e6,
          ...(totalInterval && { lower_value: totalInterval.low * 1e6, upper_value: totalInterval.high * 1e6 }),
        };
        const measures = {
          latency,
          ...(medianWireBytes !== undefined && { 'wire-bytes': { value: medianWireBytes } }),
          ...(medianWireRequests !== undefined && { requests: { value: medianWireRequests } }),
        };
        return [[nameOf(run, group, at.name), measures]];
      }),
    ),
  );
}

/** The link is named where there are several, so that a run over one link keeps its names when another follows. */
function nameOf({ links }: Run, { workload, mode }: Group, link: string): string {
  return `${workload} ${mode}${links.length > 1 ? `, ${link}` : ''}`;
}

function stringify(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
