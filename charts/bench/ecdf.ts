import type { Chart } from '../drawing/chart.ts';
import { facetBy, layOut, specOf } from '../drawing/multiples.ts';
import { colorByMode, configOf, logTicks, plainNumbers } from '../drawing/theme.ts';
import { describeAround, describeConditions } from '../run/conditions.ts';
import type { LinkRun } from '../run/run.ts';
import type { Scene } from '../run/scene.ts';

export interface EcdfDatum {
  readonly workload: string;
  readonly mode: string;
  readonly seconds: number;
  /** Of the samples, that took no longer. */
  readonly share: number;
}

/** The empirical distribution of the totals: spread, outliers and overlap, which bars hide. */
export function ecdfChart({ run, at, theme }: Scene): Chart | undefined {
  const values = ecdfData(at);
  // One sample a mode has no distribution.
  if (at.sampleCounts.max < 2) return undefined;
  const workloads = run.workloads.filter((workload) => values.some((datum) => datum.workload === workload));
  const layout = layOut(workloads.length, 50);
  const color = colorByMode(run.modes, theme);
  const x = {
    ...{ field: 'seconds', type: 'quantitative' as const, scale: { type: 'log' as const, nice: false, padding: 8 } },
    axis: {
      title: 'seconds (log)',
      values: logTicks(layout.width < 200 ? [1, 3] : [1, 2, 5]),
      labelExpr: plainNumbers,
    },
  };
  const y = {
    ...{ field: 'share', type: 'quantitative' as const, scale: { domain: [0, 1] } },
    axis: { title: null, format: '.0%', values: [0, 0.5, 1] },
  };
  const dense = workloads.length > 12;
  const spec = specOf({
    config: configOf(theme),
    data: { values: [...values, ...lineStarts(at)] },
    ...facetBy('workload', workloads, layout),
    spec: {
      width: layout.width,
      height: dense ? 64 : 110,
      layer: [
        {
          mark: { type: 'line', interpolate: 'step-after', strokeWidth: 1.6, opacity: 0.9 },
          encoding: { x, y, color, order: { field: 'share', type: 'quantitative' } },
        },
        {
          transform: [{ filter: 'datum.share > 0' }],
          mark: {
            type: 'point',
            filled: true,
            size: dense ? 12 : 24,
            opacity: 1,
            stroke: theme.paper,
            strokeWidth: 0.6,
          },
          encoding: { x, y, color },
        },
      ],
    },
  });
  return {
    name: 'ecdf',
    title: 'How the totals are distributed',
    subtitle: `${describeConditions(at)}; share of the samples that took no longer`,
    description: 'Empirical distribution of the total time, per workload and mode',
    ...describeAround(run),
    spec,
  };
}

export function ecdfData({ groups }: LinkRun): readonly EcdfDatum[] {
  return groups.flatMap(({ workload, mode, samples }) =>
    samples.map((sample, index) => ({
      ...{ workload, mode, seconds: sample.totalMs / 1000 },
      share: (index + 1) / samples.length,
    })),
  );
}

/** Where each line starts: a share of 0 at the fastest sample. */
function lineStarts({ groups }: LinkRun): readonly EcdfDatum[] {
  return groups.flatMap(({ workload, mode, samples }) =>
    samples.slice(0, 1).map((sample) => ({ workload, mode, seconds: sample.totalMs / 1000, share: 0 })),
  );
}
