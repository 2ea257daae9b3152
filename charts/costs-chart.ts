import type { TopLevelSpec } from 'vega-lite';
import type { Sample } from '../measurements/sample.ts';
import { median, sortSamples } from '../measurements/stats/median.ts';
import { describeConditions, describeOrigin, reproduction } from './conditions.ts';
import type { Run } from './run.ts';
import type { Chart } from './render.ts';
import { colorByMode, config, framePadding, frameWidth, ink, labelsBelow } from './theme.ts';

const axisWidth = 46;
const plotRoom = frameWidth - 2 * framePadding - axisWidth;
const minBarWidth = 4;

interface Metric {
  readonly title: string;
  readonly read: (sample: Sample) => number | undefined;
}

const metrics: readonly Metric[] = [
  { title: 'MB on the wire', read: (sample) => scaled(sample.wireBytes, 1e6) },
  { title: 'requests on the wire', read: (sample) => sample.wireRequests },
  { title: 'daemon, peak RSS in MiB', read: (sample) => scaled(sample.daemonRssPeakKib, 1024) },
  { title: 'daemon, CPU seconds', read: (sample) => scaled(sample.daemonCpuMs, 1000) },
  { title: 'containerd, CPU seconds', read: (sample) => scaled(sample.containerdCpuMs, 1000) },
  { title: 'run phase, seconds', read: (sample) => scaled(sample.runMs, 1000) },
];

export interface CostDatum {
  readonly kind: 'sample' | 'median';
  readonly metric: string;
  readonly workload: string;
  readonly mode: string;
  readonly value: number;
}

/** Small multiples of bytes, requests, memory and CPU time. Metrics without a value are left out. */
export function costsChart(run: Run): Chart | undefined {
  const values = costData(run);
  const shown = metrics.filter((metric) => values.some((datum) => datum.metric === metric.title));
  if (shown.length === 0) return undefined;
  const bars = run.workloads.length * run.modes.length;
  const columns = Math.max(1, Math.min(3, shown.length, Math.floor(plotRoom / (bars * minBarWidth))));
  const width = Math.floor((frameWidth - 2 * framePadding - axisWidth * columns) / columns);
  const color = colorByMode(run.modes);
  const labels = labelsBelow(run.workloads, width / run.workloads.length);
  const x = {
    field: 'workload',
    type: 'nominal' as const,
    sort: [...run.workloads],
    axis: {
      ...{ title: null, ticks: false, labelColor: ink, labelFontSize: 11 },
      ...labels,
    },
  };
  const xOffset = { field: 'mode', sort: [...run.modes] };
  // Headroom: a dot above the domain would move the plot's title.
  const yOf = (metric: Metric) => {
    const highest = Math.max(...values.map((datum) => (datum.metric === metric.title ? datum.value : 0)));
    const scale = { domain: [0, highest * 1.1 || 1] };
    return { field: 'value', type: 'quantitative' as const, axis: { title: null, tickCount: 4 }, scale };
  };
  const spec: TopLevelSpec = {
    config,
    data: { values: values as CostDatum[] },
    columns,
    // Aligned by their plots, whatever the width of the axis labels.
    bounds: 'flush',
    spacing: { column: axisWidth, row: labels.labelAngle === 0 ? 64 : 110 },
    resolve: { scale: { color: 'shared' } },
    concat: shown.map((metric) => ({
      title: metric.title,
      width,
      height: 130,
      transform: [{ filter: { field: 'metric', equal: metric.title } }],
      layer: [
        {
          transform: [{ filter: "datum.kind === 'median'" }],
          mark: { type: 'bar', opacity: 0.85 },
          encoding: { x, xOffset, y: yOf(metric), color },
        },
        {
          transform: [{ filter: "datum.kind === 'sample'" }],
          mark: { type: 'point', filled: true, size: 14, color: ink, opacity: 0.7, stroke: 'white', strokeWidth: 0.6 },
          encoding: { x, xOffset, y: yOf(metric) },
        },
      ],
    })),
  };
  return {
    name: 'costs',
    title: 'What it costs',
    subtitle: `${describeConditions(run)}; bars: medians, dots: every sample`,
    origin: describeOrigin(run),
    caption: reproduction(run),
    description: 'Bytes, requests, memory and CPU time per workload and mode',
    spec,
  };
}

export function costData(run: Run): readonly CostDatum[] {
  return metrics.flatMap((metric) =>
    run.groups.flatMap(({ workload, mode, samples }): CostDatum[] => {
      const values = samples.flatMap((sample) => metric.read(sample) ?? []);
      const sorted = sortSamples(values);
      if (sorted === undefined) return [];
      const common = { metric: metric.title, workload, mode };
      return [
        { kind: 'median', ...common, value: median(sorted) },
        ...values.map((value) => ({ kind: 'sample' as const, ...common, value })),
      ];
    }),
  );
}

function scaled(value: number | undefined, unit: number): number | undefined {
  return value === undefined ? undefined : value / unit;
}
