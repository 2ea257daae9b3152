import { median } from '../../measurements/stats/median.ts';
import { geometricMean } from '../../measurements/stats/ratio.ts';
import type { Chart } from '../drawing/chart.ts';
import { specOf } from '../drawing/multiples.ts';
import { configOf, labelWidth, longest, maxLabel, roomWidth, textWidth } from '../drawing/theme.ts';
import { describeAround, describeConditions } from '../run/conditions.ts';
import type { LinkRun } from '../run/run.ts';
import type { Scene } from '../run/scene.ts';

export interface RelativeDatum {
  readonly workload: string;
  readonly mode: string;
  /** Median total / the least median total of the workload. */
  readonly ratio: number;
  readonly label: string;
}

const meanRow = 'geometric mean';
const maxCell = 120;

/** All modes side by side: how many times the fastest mode each takes. First runs only, since a second run wins by what it was given. */
export function relativeChart({ run, at, theme }: Scene): Chart | undefined {
  const values = relativeData(at);
  const modes = run.modes.filter((mode) => values.some((datum) => datum.mode === mode));
  if (modes.length < 2) return undefined;
  const workloads = run.workloads.filter((workload) => values.some((datum) => datum.workload === workload));
  const rows = values.some((datum) => datum.workload === meanRow) ? [meanRow, ...workloads] : workloads;
  const room = roomWidth - labelWidth(rows) - 4;
  const slanted = textWidth(longest(modes)) > room / modes.length - 6;
  // Names that stand aslant reach beyond the last column, by what their angle leaves of their length.
  const overhang = slanted ? Math.ceil(textWidth(modes.at(-1)!) * 0.83) : 0;
  const cell = Math.min(maxCell, Math.floor(room / modes.length), Math.floor((room - overhang) / (modes.length - 0.5)));
  const x = {
    ...{ field: 'mode', type: 'nominal', sort: modes },
    axis: {
      ...{
        title: null,
        orient: 'top',
        ticks: false,
        labelColor: theme.ink,
        labelLimit: 220,
        labelPadding: 8,
        grid: false,
      },
      ...(slanted ? { labelAngle: -35, labelAlign: 'left', labelBaseline: 'middle' } : { labelAngle: 0 }),
    },
  };
  const y = {
    ...{ field: 'workload', type: 'nominal', sort: rows },
    axis: { title: null, ticks: false, labelColor: theme.ink, labelLimit: maxLabel, grid: false },
  };
  const ratios = values.map((datum) => datum.ratio);
  const spec = specOf({
    config: configOf(theme),
    data: { values },
    width: cell * modes.length,
    height: rows.length * (rows.length > 20 ? 18 : 24),
    encoding: { x, y },
    layer: [
      {
        mark: { type: 'rect', stroke: theme.paper, strokeWidth: 2 },
        encoding: {
          color: {
            ...{ field: 'ratio', type: 'quantitative', legend: null },
            scale: {
              type: 'log',
              domain: [1, Math.max(1.5, ...ratios)],
              range: [theme.grid, theme.heat],
              interpolate: 'rgb',
              clamp: true,
            },
          },
        },
      },
      {
        transform: [{ filter: 'datum.ratio > 1' }],
        mark: { type: 'text', fontSize: 11.5, color: theme.ink },
        encoding: { text: { field: 'label' } },
      },
      {
        transform: [{ filter: 'datum.ratio === 1' }],
        mark: { type: 'text', fontSize: 11.5, color: theme.accent, fontWeight: 700 },
        encoding: { text: { field: 'label' } },
      },
    ],
  });
  return {
    name: 'relative',
    title: 'How far from the fastest mode',
    subtitle: `${describeConditions(at)}; median total / that of the workload's fastest mode`,
    description: values.map(({ workload, mode, label }) => `${workload} ${mode}: ${label}`).join('; '),
    ...describeAround(run),
    spec,
  };
}

export function relativeData({ groups }: LinkRun): readonly RelativeDatum[] {
  const first = groups.filter(({ mode }) => !mode.includes('+'));
  const cells = [...Map.groupBy(first, (group) => group.workload)].flatMap(([workload, own]) => {
    const totals = own.flatMap(({ mode, totalMs }) => (totalMs ? [{ mode, total: median(totalMs) }] : []));
    const best = Math.min(...totals.map(({ total }) => total));
    return totals.map(({ mode, total }) => describe(workload, mode, total / best));
  });
  const workloadCount = new Set(cells.map((cell) => cell.workload)).size;
  // A mode that lacks a workload has no mean that compares.
  const means = [...Map.groupBy(cells, (cell) => cell.mode)].flatMap(([mode, own]) =>
    workloadCount > 1 && own.length === workloadCount
      ? [describe(meanRow, mode, geometricMean(own.map(({ ratio }) => ratio)))]
      : [],
  );
  return [...means, ...cells];
}

function describe(workload: string, mode: string, ratio: number): RelativeDatum {
  const digits = ratio < 1.995 ? 2 : ratio < 9.95 ? 1 : 0;
  return { workload, mode, ratio, label: `${ratio.toFixed(digits)}×` };
}
