import type { Chart } from '../drawing/chart.ts';
import { facetBy, layOut, specOf } from '../drawing/multiples.ts';
import { colorByMode, configOf, plainNumbers, type Theme, ticksOver } from '../drawing/theme.ts';
import type { Trend } from './trend.ts';

/** Time relative to legacy over the commits, a plot per workload; where it changed, the commit's name. */
export function trendChart({ link, points, changes }: Trend, modes: readonly string[], theme: Theme): Chart {
  const commits = [...new Set(points.map(({ commit }) => commit))];
  const workloads = [...new Set(points.map(({ workload }) => workload))];
  const shown = modes.filter((mode) => points.some((point) => point.mode === mode));
  const layout = layOut(workloads.length, 60);
  const values = points.map(({ workload, mode, commit, relative }) => ({ workload, mode, commit, relative }));
  const marks = changes.map(({ workload, mode, commit }) => ({
    ...{ workload, mode, commit },
    relative: points.find((point) => point.workload === workload && point.mode === mode && point.commit === commit)!
      .relative,
  }));
  const few = commits.length * 52 <= layout.width;
  const x = {
    ...{ field: 'commit', type: 'ordinal', sort: commits, scale: { type: 'point', padding: 0.5 } },
    axis: { title: few ? null : 'commits, oldest first', labels: few, ticks: few, labelAngle: 0, grid: false },
  };
  const y = {
    ...{ field: 'relative', type: 'quantitative', scale: { type: 'log', nice: false, padding: 10 } },
    axis: {
      title: 'time / legacy (log)',
      values: ticksOver(values.map(({ relative }) => relative)),
      labelExpr: plainNumbers,
    },
  };
  const color = colorByMode(shown, theme);
  const spec = specOf({
    config: configOf(theme),
    data: { values: [...values, ...marks.map((mark) => ({ ...mark, isChange: true }))] },
    ...facetBy('workload', workloads, layout),
    spec: {
      ...{ width: layout.width, height: workloads.length > 12 ? 90 : 130 },
      layer: [
        {
          transform: [{ filter: '!datum.isChange' }],
          mark: { type: 'line', strokeWidth: 1.6 },
          encoding: { x, y, color },
        },
        {
          transform: [{ filter: '!datum.isChange' }],
          mark: { type: 'point', filled: true, size: 26, opacity: 1 },
          encoding: { x, y, color },
        },
        {
          transform: [{ filter: 'datum.isChange' }],
          mark: { type: 'point', size: 120, strokeWidth: 1.6, color: theme.ink, filled: false },
          encoding: { x, y },
        },
        {
          transform: [{ filter: 'datum.isChange' }],
          mark: { type: 'text', dy: -13, fontSize: 11, color: theme.ink },
          encoding: { x, y, text: { field: 'commit' } },
        },
      ],
    },
  });
  return {
    name: 'trend',
    title: 'Trend over commits',
    subtitle: `${link}; median total / legacy's of the same run; rings: a change from the run before, by its commit`,
    description: changes
      .map(({ workload, mode, commit, comparison }) => `${workload} ${mode}: ${comparison.verdict} at ${commit}`)
      .join('; '),
    origin: `${commits.length} commits`,
    caption: '',
    spec,
  };
}
