import type { TopLevelSpec } from 'vega-lite';
import { describeConditions, describeOrigin, reproduction } from './conditions.ts';
import type { Run } from './run.ts';
import type { Chart } from './render.ts';
import { colorByMode, config, framePadding, frameWidth, logTicks } from './theme.ts';

export interface DistributionDatum {
  readonly workload: string;
  readonly mode: string;
  readonly seconds: number;
  /** Of the samples, that took no longer. */
  readonly share: number;
}

/** The empirical distribution of the totals: spread, outliers and overlap, which bars hide. */
export function distributionChart(run: Run): Chart {
  const columns = Math.min(4, run.workloads.length);
  const width = Math.min(380, Math.floor((frameWidth - 2 * framePadding - 58 - 18 * (columns - 1)) / columns));
  const color = colorByMode(run.modes);
  const x = {
    field: 'seconds',
    type: 'quantitative' as const,
    scale: { type: 'log' as const, nice: false, padding: 12 },
    axis: { title: 'seconds (log)', values: logTicks([1, 2, 5]), format: '~g' },
  };
  const y = {
    field: 'share',
    type: 'quantitative' as const,
    scale: { domain: [0, 1] },
    axis: { title: 'share of samples', format: '.0%', values: [0, 0.25, 0.5, 0.75, 1] },
  };
  const spec: TopLevelSpec = {
    config,
    data: { values: [...distributionData(run), ...lineStarts(run)] },
    columns,
    spacing: { column: 18, row: 28 },
    facet: {
      field: 'workload',
      type: 'nominal',
      sort: [...run.workloads],
      header: { labelAnchor: 'start', labelPadding: 8 },
    },
    spec: {
      width,
      height: 170,
      layer: [
        {
          mark: { type: 'line', interpolate: 'step-after', strokeWidth: 1.5, opacity: 0.7 },
          encoding: { x, y, color, order: { field: 'share', type: 'quantitative' } },
        },
        {
          transform: [{ filter: 'datum.share > 0' }],
          mark: { type: 'point', filled: true, size: 34, opacity: 0.95, stroke: 'white', strokeWidth: 0.8 },
          encoding: { x, y, color },
        },
      ],
    },
  };
  return {
    name: 'distribution',
    title: 'Every sample',
    subtitle: `${describeConditions(run)}; total time, as an empirical distribution`,
    origin: describeOrigin(run),
    caption: reproduction(run),
    description: 'Empirical distribution of the total time of every sample, per workload and mode',
    spec,
  };
}

export function distributionData(run: Run): readonly DistributionDatum[] {
  return run.groups.flatMap(({ workload, mode, samples }) =>
    samples.map((sample, index) => ({
      workload,
      mode,
      seconds: sample.totalMs / 1000,
      share: (index + 1) / samples.length,
    })),
  );
}

/** Where each line starts: a share of 0 at the fastest sample. */
function lineStarts(run: Run): readonly DistributionDatum[] {
  return run.groups.flatMap(({ workload, mode, samples }) =>
    samples.slice(0, 1).map((sample) => ({ workload, mode, seconds: sample.totalMs / 1000, share: 0 })),
  );
}
