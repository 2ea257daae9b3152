import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TopLevelSpec } from 'vega-lite';
import type { Environment } from '../measurements/environment.ts';
import { MeasurementError } from '../measurements/error.ts';
import { describeCommit } from '../measurements/format.ts';
import { type MountSummary, readMountSummary } from '../measurements/mount-summary.ts';
import type { Chart } from './drawing/chart.ts';
import { renderPng, renderSvg } from './drawing/render.ts';
import { configOf, logTicks, pictureName, roomWidth, type Theme, themes } from './drawing/theme.ts';

const labelWidth = 230;
const conditionTitles: Readonly<Record<string, string>> = {
  warm: 'warm: again, from the page cache',
  cold: 'cold: page cache dropped, all data in the store',
  demand: 'demand: pulled lazily and read, against pulled, unpacked and read',
};

/** Draws mounts.svg and mounts.png, and both for dark pages, from summary.csv of a run of `bench:mounts`; returns their paths. */
export async function drawMountsChart(resultDir: string, environment: Environment): Promise<string[]> {
  const summary = await readMountSummary(resultDir);
  const files: string[] = [];
  for (const theme of themes) {
    const svg = await renderSvg(mountsChart(summary, environment, theme), theme);
    const path = join(resultDir, pictureName('mounts', theme));
    await writeFile(`${path}.svg`, svg);
    await writeFile(`${path}.png`, renderPng(svg, theme));
    files.push(`${path}.svg`, `${path}.png`);
  }
  return files;
}

/** Ratios to overlayfs on unpacked files, by operation and backend. A tick marks the largest ratio allowed. */
function mountsChart(summary: readonly MountSummary[], environment: Environment, theme: Theme): Chart {
  const { ink, quietInk } = theme;
  const values = summary.filter(({ backend }) => backend !== 'overlayfs');
  if (values.length === 0) throw new MeasurementError('no-samples', 'summary.csv holds no ratio: nothing to draw');
  const backends = [...new Set(values.map(({ backend }) => backend))];
  const color = {
    field: 'backend',
    type: 'nominal' as const,
    scale: {
      domain: backends,
      range: ['estargz', 'stargz', 'zstdchunked', 'erofs', 'estargz-noopt'].map((mode) => theme.modeColors[mode]!),
    },
    legend: {
      title: null,
      orient: 'top' as const,
      direction: 'horizontal' as const,
      symbolType: 'circle',
      symbolOpacity: 1,
      labelExpr: 'upper(datum.label)',
      offset: 14,
    },
  };
  const reach = values.flatMap(({ ratio, maxRatio }) => [ratio, maxRatio ?? ratio, 1]);
  const x = {
    type: 'quantitative' as const,
    scale: { type: 'log' as const, domain: [Math.min(...reach) / 1.1, Math.max(...reach) * 1.1], nice: false },
    axis: { title: 'times overlayfs on unpacked files (log)', values: logTicks([1, 1.5, 2, 3, 5, 7]), format: '~g' },
  };
  const plots = Object.keys(conditionTitles).flatMap((condition) => {
    const own = values.filter((datum) => datum.condition === condition);
    if (own.length === 0) return [];
    const titles = [...new Set(own.map(({ title }) => title))];
    const y = {
      field: 'title',
      type: 'nominal' as const,
      sort: titles,
      axis: { title: null, labelLimit: labelWidth, minExtent: labelWidth, labelColor: ink, ticks: false, grid: false },
    };
    const yOffset = { field: 'backend', sort: backends };
    return [
      {
        title: conditionTitles[condition]!,
        width: roomWidth - labelWidth - 10,
        height: { step: 11 },
        data: { values: own },
        layer: [
          { mark: { type: 'rule' as const, color: quietInk, strokeDash: [3, 3] }, encoding: { x: { datum: 1 } } },
          {
            transform: [{ filter: 'isValid(datum.maxRatio)' }],
            mark: { type: 'tick' as const, thickness: 2, size: 10, opacity: 1 },
            encoding: { x: { ...x, field: 'maxRatio' }, y, yOffset, color },
          },
          {
            mark: { type: 'point' as const, filled: true, size: 64, opacity: 1 },
            encoding: { x: { ...x, field: 'ratio' }, y, yOffset, color },
          },
        ],
      },
    ];
  });
  const spec = { config: configOf(theme), spacing: 34, vconcat: plots } as TopLevelSpec;
  return {
    name: 'mounts',
    title: 'What a lazy mount costs',
    origin: `${environment.startedAt.slice(0, 10)}, ${describeCommit(environment)}`,
    subtitle: 'read through an overlay as a container does; dots: medians of the ratios, ticks: limits',
    caption: `Reproduce: npm ci && ${environment.command}`,
    description: 'Times of reading a tree through EROFS and FUSE, as multiples of overlayfs on unpacked files',
    spec,
  };
}
