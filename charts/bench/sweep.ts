import { formatLink } from '../../measurements/format.ts';
import { median } from '../../measurements/stats/median.ts';
import type { Chart } from '../drawing/chart.ts';
import { facetBy, layOut, specOf } from '../drawing/multiples.ts';
import { colorByMode, configOf, logTicks, plainNumbers } from '../drawing/theme.ts';
import { describeAllLinks, describeAround } from '../run/conditions.ts';
import { type LinkRun, type Run, referenceLink } from '../run/run.ts';
import type { Scene } from '../run/scene.ts';
import { floorsOf } from './floors.ts';

export interface SweepDatum {
  readonly plot: string;
  /** Milliseconds of round trip, or Mbit/s. */
  readonly at: number;
  readonly seconds: number;
  readonly mode?: string;
  readonly low?: number | undefined;
  readonly high?: number | undefined;
  readonly floor?: string;
}

type Axis = 'rtt' | 'bandwidth';

const floorNames = ['raw download of the image', 'least lazy start'];
/** With room for the labels of the horizontal axis, which reach beyond each plot. */
const axisWidth = 92;
/** Beyond these, only the links with the usual other setting are shown. */
const maxPlots = 16;

export const rttChart = (scene: Scene): Chart | undefined => sweepChart(scene, 'rtt');
export const bandwidthChart = (scene: Scene): Chart | undefined => sweepChart(scene, 'bandwidth');

/** Median total against one setting of the link, a plot per workload and other setting, with the floors. */
function sweepChart({ run, theme }: Scene, axis: Axis): Chart | undefined {
  const values = sweepData(run, axis);
  if (new Set(values.map((datum) => datum.at)).size < 2) return undefined;
  const plots = [...new Set(values.map((datum) => datum.plot))];
  const { length: workloadCount } = run.workloads;
  // A row per other setting, where the workloads fit side by side.
  const layout =
    plots.length > workloadCount && workloadCount <= 4
      ? layOut(workloadCount, axisWidth, 140, workloadCount)
      : layOut(plots.length, axisWidth);
  const steps = [...new Set(values.map((datum) => datum.at))].sort((one, other) => one - other);
  const x = {
    ...{ field: 'at', type: 'quantitative' as const },
    scale: axis === 'rtt' ? { zero: true, nice: false } : { type: 'log' as const, nice: false },
    axis: {
      title: axis === 'rtt' ? 'round trip, ms' : 'Mbit/s (log)',
      values: steps,
      labelExpr: plainNumbers,
      grid: false,
    },
  };
  const y = {
    ...{ field: 'seconds', type: 'quantitative' as const, scale: { type: 'log' as const, nice: false, padding: 6 } },
    axis: { title: 'seconds (log)', values: logTicks([1, 2, 5]), labelExpr: plainNumbers },
  };
  const color = colorByMode(run.modes, theme);
  const measured = [{ filter: 'isValid(datum.mode)' }];
  const spec = specOf({
    config: configOf(theme),
    data: { values },
    ...facetBy('plot', plots, layout, 12),
    spec: {
      width: layout.width,
      height: plots.length > 12 ? 110 : 150,
      layer: [
        {
          transform: [{ filter: 'isValid(datum.floor)' }],
          mark: { type: 'line', strokeWidth: 1.4, color: theme.quietInk },
          encoding: {
            ...{ x, y },
            strokeDash: {
              ...{ field: 'floor', type: 'nominal' },
              scale: {
                domain: floorNames,
                range: [
                  [7, 3],
                  [2, 3],
                ],
              },
              legend: {
                title: null,
                orient: 'top',
                direction: 'horizontal',
                symbolStrokeColor: theme.quietInk,
                symbolSize: 420,
                offset: 10,
                labelLimit: 260,
              },
            },
          },
        },
        {
          transform: [...measured, { filter: 'isValid(datum.low)' }],
          mark: { type: 'rule', strokeWidth: 4, opacity: 0.3 },
          encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
        },
        { transform: measured, mark: { type: 'line', strokeWidth: 1.8 }, encoding: { x, y, color } },
        {
          transform: measured,
          mark: { type: 'point', filled: true, size: 34, opacity: 1, stroke: theme.paper, strokeWidth: 0.8 },
          encoding: { x, y, color },
        },
      ],
    },
  });
  return {
    name: axis,
    title: axis === 'rtt' ? 'Start time against the round trip' : 'Start time against bandwidth',
    subtitle: `${describeAllLinks(run)}; medians of the total; dashed: the least a full and a lazy pull can take`,
    description: `Median total per workload and mode over ${steps.join(', ')} ${axis === 'rtt' ? 'ms of round trip' : 'Mbit/s'}`,
    ...describeAround(run),
    spec,
  };
}

export function sweepData(run: Run, axis: Axis): readonly SweepDatum[] {
  const links = run.links.filter(
    ({ link }) => link !== undefined && (axis === 'rtt' || link.bandwidthMbps !== undefined),
  );
  if (links.length === 0) return [];
  const others = new Set(links.map((link) => otherSetting(link, axis)));
  const usual = otherSetting(referenceLink(links), axis);
  const shown =
    others.size * run.workloads.length > maxPlots ? links.filter((link) => otherSetting(link, axis) === usual) : links;
  const several = new Set(shown.map((link) => otherSetting(link, axis))).size > 1;
  const inRows = shown.toSorted((one, other) => otherRank(one, axis) - otherRank(other, axis));
  return inRows.flatMap((at) =>
    run.workloads.flatMap((workload): SweepDatum[] => {
      const plot = several ? `${workload}, ${otherSetting(at, axis)}` : workload;
      const setting = axis === 'rtt' ? at.link!.rttMs : at.link!.bandwidthMbps!;
      const floors = floorsOf(at).filter((floor) => floor.workload === workload);
      return [
        ...at.groups.flatMap((group): SweepDatum[] => {
          if (group.workload !== workload || group.totalMs === undefined) return [];
          const { mode, totalInterval } = group;
          const interval = totalInterval && { low: totalInterval.low / 1000, high: totalInterval.high / 1000 };
          return [{ plot, at: setting, mode, seconds: median(group.totalMs) / 1000, ...interval }];
        }),
        ...floors.flatMap(({ rawSeconds, lazySeconds }): SweepDatum[] => [
          { plot, at: setting, floor: floorNames[0]!, seconds: rawSeconds },
          ...(lazySeconds === undefined ? [] : [{ plot, at: setting, floor: floorNames[1]!, seconds: lazySeconds }]),
        ]),
      ];
    }),
  );
}

function otherRank({ link }: LinkRun, axis: Axis): number {
  return axis === 'rtt' ? (link!.bandwidthMbps ?? Number.POSITIVE_INFINITY) : link!.rttMs;
}

/** What a plot holds fixed: `200 Mbit/s` or `30 ms RTT`. */
function otherSetting({ link }: LinkRun, axis: Axis): string {
  const [rtt, rate, ...model] = formatLink(link!).split(', ') as [string, string, ...string[]];
  return [axis === 'rtt' ? rate : rtt, ...model].join(', ');
}
