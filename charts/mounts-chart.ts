import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import type { TopLevelSpec } from 'vega-lite';
import { ChartError } from './error.ts';
import { type Chart, renderPng, renderSvg } from './render.ts';
import { config, framePadding, frameWidth, ink, logTicks, quietInk } from './theme.ts';

/** A row of mounts-summary.csv. */
interface MountsDatum {
  readonly title: string;
  readonly condition: string;
  readonly backend: string;
  readonly ratio: number;
  readonly target: number | undefined;
}

const labelWidth = 230;
const conditionTitles: Readonly<Record<string, string>> = {
  warm: 'warm: again, from the page cache',
  cold: 'cold: page cache dropped, all data in the store',
  demand: 'demand: pulled lazily and read, against pulled, unpacked and read',
};

/** Draws mounts.svg and mounts.png from a run's mounts-summary.csv; returns their names. */
export async function drawMountsChart(resultDir: string): Promise<string[]> {
  const svg = await renderSvg(mountsChart(await readSummary(join(resultDir, 'mounts-summary.csv'))));
  await writeFile(join(resultDir, 'mounts.svg'), svg);
  await writeFile(join(resultDir, 'mounts.png'), renderPng(svg));
  return ['mounts.svg', 'mounts.png'];
}

async function readSummary(path: string): Promise<MountsDatum[]> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new ChartError('missing-file', `cannot read ${path} (${cause.code})`, { cause });
  });
  const records = parse(text, { columns: true }) as Record<string, string>[];
  return records.map((record) => ({
    title: record.title!,
    condition: record.condition!,
    backend: record.backend!,
    ratio: Number(record.ratio),
    target: record.target ? Number(record.target) : undefined,
  }));
}

/** Ratios to overlayfs on unpacked files, by row and backend; a bar across marks what may not be exceeded. */
function mountsChart(summary: readonly MountsDatum[]): Chart {
  const values = summary.filter(({ backend }) => backend !== 'overlayfs');
  if (values.length === 0) throw new ChartError('no-samples', 'mounts-summary.csv holds no ratio: nothing to draw');
  const backends = [...new Set(values.map(({ backend }) => backend))];
  const color = {
    field: 'backend',
    type: 'nominal' as const,
    scale: { domain: backends, range: ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9'] },
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
  const reach = values.flatMap(({ ratio, target }) => [ratio, target ?? ratio, 1]);
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
        width: frameWidth - 2 * framePadding - labelWidth - 10,
        height: { step: 11 },
        data: { values: own },
        layer: [
          { mark: { type: 'rule' as const, color: quietInk, strokeDash: [3, 3] }, encoding: { x: { datum: 1 } } },
          {
            transform: [{ filter: 'isValid(datum.target)' }],
            mark: { type: 'tick' as const, thickness: 2, size: 10, opacity: 1 },
            encoding: { x: { ...x, field: 'target' }, y, yOffset, color },
          },
          {
            mark: { type: 'point' as const, filled: true, size: 64, opacity: 1 },
            encoding: { x: { ...x, field: 'ratio' }, y, yOffset, color },
          },
        ],
      },
    ];
  });
  const spec = { config, spacing: 34, vconcat: plots } as TopLevelSpec;
  return {
    name: 'mounts',
    title: 'What a lazy mount costs',
    subtitle: 'read through an overlay as a container does; dots: medians of the ratios, bars: limits',
    caption: 'Reproduce: npm ci && npm run bench:mounts',
    description: 'Times of reading a tree through EROFS and FUSE, as multiples of overlayfs on unpacked files',
    spec,
  };
}
