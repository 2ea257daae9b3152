import { formatSeconds } from '../../measurements/format.ts';
import { median, minSamplesForInterval } from '../../measurements/stats/median.ts';
import type { Chart } from '../drawing/chart.ts';
import { facetBy, layOut, specOf } from '../drawing/multiples.ts';
import { colorByMode, configOf, labelWidth, logTicks, maxLabel, plainNumbers } from '../drawing/theme.ts';
import { describeAround, describeConditions } from '../run/conditions.ts';
import type { LinkRun } from '../run/run.ts';
import type { Scene } from '../run/scene.ts';

export interface IntervalDatum {
  readonly kind: 'sample' | 'median';
  readonly workload: string;
  readonly mode: string;
  readonly seconds: number;
  /** 95 % interval of the median; absent below six samples. */
  readonly low?: number | undefined;
  readonly high?: number | undefined;
}

/** Every sample as a point, the median as a tick, and its 95 % interval as a bar: whether two modes differ, at a glance. */
export function intervalsChart({ run, at, theme }: Scene): Chart | undefined {
  const values = intervalData(at);
  if (values.length === 0) return undefined;
  const workloads = run.workloads.filter((workload) => values.some((datum) => datum.workload === workload));
  const layout = layOut(workloads.length, labelWidth(run.modes));
  const axis = {
    title: 'seconds (log)',
    values: logTicks(layout.width < 200 ? [1, 3] : [1, 2, 5]),
    labelExpr: plainNumbers,
  };
  const scale = { type: 'log' as const, nice: false, padding: 8 };
  const x = { field: 'seconds', type: 'quantitative' as const, scale, axis };
  const y = {
    ...{ field: 'mode', type: 'nominal' as const, sort: [...run.modes] },
    axis: { title: null, ticks: false, labelColor: theme.ink, labelLimit: maxLabel, grid: false },
  };
  const color = colorByMode(run.modes, theme, 'no legend');
  const medians = [{ filter: "datum.kind === 'median'" }];
  const spec = specOf({
    config: configOf(theme),
    data: { values },
    ...facetBy('workload', workloads, layout),
    spec: {
      width: layout.width,
      height: run.modes.length * (run.modes.length > 4 || workloads.length > 12 ? 15 : 22),
      layer: [
        {
          transform: [...medians, { filter: 'isValid(datum.low)' }],
          mark: { type: 'bar', height: { band: 0.86 }, opacity: 0.35 },
          encoding: { x: { ...x, field: 'low' }, x2: { field: 'high' }, y, color },
        },
        {
          transform: medians,
          mark: {
            type: 'tick',
            thickness: 1.5,
            bandSize: run.modes.length > 4 || workloads.length > 12 ? 11 : 15,
            color: theme.ink,
            opacity: 1,
          },
          encoding: { x, y },
        },
        {
          transform: [{ filter: "datum.kind === 'sample'" }],
          mark: { type: 'point', filled: true, size: 18, opacity: 0.85, stroke: theme.paper, strokeWidth: 0.4 },
          encoding: { x, y, color },
        },
      ],
    },
  });
  const enough = at.groups.some((group) => group.totalInterval !== undefined);
  const shade = enough ? 'shade: its 95 % interval' : `no interval below ${minSamplesForInterval} samples`;
  return {
    name: 'intervals',
    title: 'Every sample, and how sure the median is',
    subtitle: `${describeConditions(at)}; dots: total of every sample, tick: median, ${shade}`,
    description: values
      .flatMap(({ kind, workload, mode, seconds, low, high }) => {
        const interval = low === undefined || high === undefined ? '' : ` (${low} to ${high} s)`;
        return kind === 'median' ? [`${workload} ${mode}: ${formatSeconds(seconds * 1000)} s${interval}`] : [];
      })
      .join('; '),
    ...describeAround(run),
    spec,
  };
}

export function intervalData({ groups }: LinkRun): readonly IntervalDatum[] {
  return groups.flatMap(({ workload, mode, samples, totalMs, totalInterval }): IntervalDatum[] => {
    if (totalMs === undefined) return [];
    const interval = totalInterval && { low: totalInterval.low / 1000, high: totalInterval.high / 1000 };
    return [
      { kind: 'median', workload, mode, seconds: median(totalMs) / 1000, ...interval },
      ...samples.map((sample) => ({ kind: 'sample' as const, workload, mode, seconds: sample.totalMs / 1000 })),
    ];
  });
}
