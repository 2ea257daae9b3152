import { median } from '../../measurements/stats/median.ts';
import type { Chart } from '../drawing/chart.ts';
import { facetBy, layOut, specOf } from '../drawing/multiples.ts';
import { configOf, labelWidth, logTicks, maxLabel, plainNumbers } from '../drawing/theme.ts';
import { describeAround, describeConditions } from '../run/conditions.ts';
import type { LinkRun } from '../run/run.ts';
import type { Scene } from '../run/scene.ts';

export interface SecondRunDatum {
  readonly workload: string;
  readonly mode: string;
  readonly run: string;
  readonly seconds: number;
}

const firstRun = 'first';
const names: Readonly<Record<string, string>> = {
  again: 'the same image again',
  shared: 'after an image that shares layers',
};

/** First against later runs in the same daemons: a plot per mode, a row per workload. Undefined where nothing ran twice. */
export function secondRunsChart({ run, at, theme }: Scene): Chart | undefined {
  const values = secondRunData(at);
  if (!values.some((datum) => datum.run !== firstRun)) return undefined;
  const modes = [...new Set(values.map((datum) => datum.mode))];
  const workloads = run.workloads.filter((workload) => values.some((datum) => datum.workload === workload));
  const layout = layOut(modes.length, labelWidth(workloads));
  const runs = [firstRun, ...Object.values(names)].filter((name) => values.some((datum) => datum.run === name));
  const x = {
    ...{ field: 'seconds', type: 'quantitative', scale: { type: 'log', nice: false, padding: 10 } },
    axis: {
      title: 'seconds (log)',
      values: logTicks(layout.width < 200 ? [1, 3] : [1, 2, 5]),
      labelExpr: plainNumbers,
    },
  };
  const y = {
    ...{ field: 'workload', type: 'nominal', sort: workloads },
    axis: { title: null, ticks: false, labelColor: theme.ink, labelLimit: maxLabel, grid: false },
  };
  const legend = { title: null, orient: 'top', direction: 'horizontal', symbolOpacity: 1, offset: 10, labelLimit: 300 };
  const scale = {
    domain: runs,
    range: [theme.modeColors.legacy, theme.modeColors.estargz, theme.modeColors.zstdchunked],
  };
  const shape = { domain: runs, range: ['circle', 'diamond', 'square'] };
  const spec = specOf({
    config: configOf(theme),
    data: { values },
    ...facetBy('mode', modes, layout, 30),
    spec: {
      ...{ width: layout.width, height: workloads.length * (workloads.length > 12 ? 16 : 24) },
      layer: [
        {
          mark: { type: 'line', color: theme.grid, strokeWidth: 3 },
          encoding: { x, y, detail: { field: 'workload' } },
        },
        {
          mark: { type: 'point', filled: true, size: 50, opacity: 1 },
          encoding: {
            ...{ x, y, color: { field: 'run', type: 'nominal', scale, legend } },
            shape: { field: 'run', type: 'nominal', scale: shape, legend },
          },
        },
      ],
    },
  });
  return {
    name: 'second-runs',
    title: 'First and later runs',
    subtitle: `${describeConditions(at)}; medians of the total, in the same daemons`,
    description: values.map((datum) => `${datum.workload} ${datum.mode} ${datum.run}: ${datum.seconds} s`).join('; '),
    ...describeAround(run),
    spec,
  };
}

export function secondRunData({ groups }: LinkRun): readonly SecondRunDatum[] {
  const repeated = new Set(groups.flatMap(({ mode }) => (mode.includes('+') ? [mode.split('+')[0]!] : [])));
  return groups.flatMap(({ workload, mode, totalMs }): SecondRunDatum[] => {
    const [base = '', second] = mode.split('+');
    if (!repeated.has(base) || totalMs === undefined) return [];
    const run = second === undefined ? firstRun : (names[second] ?? second);
    return [{ workload, mode: base, run, seconds: median(totalMs) / 1000 }];
  });
}
