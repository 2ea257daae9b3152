import type { Group } from '../../measurements/summary.ts';
import { specOf } from '../drawing/multiples.ts';
import { colorByMode, configOf, labelWidth, logTicks, maxLabel, roomWidth } from '../drawing/theme.ts';
import type { Scene } from '../run/scene.ts';

/** What is read off a group: one plot. */
export interface Metric {
  readonly title: string;
  readonly read: (group: Group) => number | undefined;
}

export interface RowDatum {
  readonly metric: string;
  readonly workload: string;
  readonly mode: string;
  readonly value: number;
}

const gap = 26;
const shortNumbers = "format(datum.value, datum.value >= 10000 ? '~s' : '~g')";
/** Values that span more than this are shown on a logarithmic axis. */
const maxLinearSpan = 30;

/** A row per workload, a dot per mode, a plot per metric that has a value. Undefined where none has. */
export function dotRows({ run, at, theme }: Scene, metrics: readonly Metric[]) {
  const values = rowData(at.groups, metrics);
  const shown = metrics.filter(({ title }) => values.some(({ metric }) => metric === title));
  if (shown.length === 0) return undefined;
  const modes = run.modes.filter((mode) => values.some((datum) => datum.mode === mode));
  const workloads = run.workloads.filter((workload) => values.some((datum) => datum.workload === workload));
  const labels = labelWidth(workloads);
  const columns = Math.min(shown.length, workloads.length > 12 ? 4 : 2);
  const width = Math.floor((roomWidth - labels - gap * (columns - 1) - 14) / columns) - 4;
  const step = Math.max(16, Math.min(workloads.length > 20 ? 28 : 46, modes.length * 5 + 12));
  const color = colorByMode(modes, theme);
  const plots = shown.map(({ title }, index) => {
    const own = values.filter(({ metric }) => metric === title);
    const numbers = own.map(({ value }) => value);
    const isLog = Math.min(...numbers) > 0 && Math.max(...numbers) / Math.min(...numbers) > maxLinearSpan;
    const wide = Math.max(...numbers) / Math.min(...numbers) < 1000;
    const x = {
      ...{ field: 'value', type: 'quantitative' },
      scale: isLog ? { type: 'log', nice: false, padding: 10 } : { domainMin: 0, nice: true },
      axis: {
        ...{
          title: `${title}${isLog ? ' (log)' : ''}`.split(', '),
          titleColor: theme.ink,
          titleFontWeight: 600,
          labelExpr: shortNumbers,
        },
        ...(isLog ? { values: logTicks(wide ? [1, 3] : [1]) } : { tickCount: 5 }),
      },
    };
    const isFirst = index % columns === 0;
    const y = {
      ...{ field: 'workload', type: 'nominal', sort: workloads },
      axis: {
        title: null,
        ticks: false,
        grid: true,
        labels: isFirst,
        labelColor: theme.ink,
        tickBand: 'extent',
        labelLimit: maxLabel,
      },
    };
    return {
      ...{ width, height: workloads.length * step, data: { values: own } },
      mark: { type: 'point', filled: true, size: 34, opacity: 0.95, stroke: theme.paper, strokeWidth: 0.6 },
      encoding: { x, y, yOffset: { field: 'mode', sort: modes }, color },
    };
  });
  const config = configOf(theme);
  return specOf({
    config: { ...config, scale: { offsetBandPaddingOuter: 0.4 } },
    ...{ columns, concat: plots, spacing: { column: gap, row: 30 } },
    resolve: { scale: { color: 'shared' } },
  });
}

export function rowData(groups: readonly Group[], metrics: readonly Metric[]): readonly RowDatum[] {
  return metrics.flatMap(({ title, read }) =>
    groups.flatMap((group): RowDatum[] => {
      const value = read(group);
      return value === undefined ? [] : [{ metric: title, workload: group.workload, mode: group.mode, value }];
    }),
  );
}
