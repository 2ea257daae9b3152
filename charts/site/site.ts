import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { marked } from 'marked';
import { benchCharts } from '../bench/charts.ts';
import type { Chart } from '../drawing/chart.ts';
import { renderSvg } from '../drawing/render.ts';
import { pictureName, themes, type Theme } from '../drawing/theme.ts';
import { renderReport } from '../report/report.ts';
import { referenceLink } from '../run/run.ts';
import { indexPage, methodPage, programPage } from './pages.ts';
import { type PublishedRun, readPublishedRuns } from './published-runs.ts';
import { trendChart } from './trend-chart.ts';
import { findTrend } from './trend.ts';

export interface SiteOptions {
  readonly publishedDir: string;
  /** Made anew; what was there goes only when all is written. */
  readonly outDir: string;
  /** The document with the section about what a number means. */
  readonly methodPath: string;
}

export interface SiteResult {
  readonly runCount: number;
  readonly faults: readonly string[];
}

const methodHeading = '## What a number means';

/** Makes the site of all published runs: static files, as GitHub Pages serves them. Throws MeasurementError. */
export async function makeSite({ publishedDir, outDir, methodPath }: SiteOptions): Promise<SiteResult> {
  const published = await readPublishedRuns(publishedDir);
  const runs = published.runs.flatMap(({ run }) => run ?? []);
  const trend = findTrend(runs);
  const fresh = `${outDir}.new`;
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { recursive: true });
  for (const one of published.runs) await makeRunPages(one, join(fresh, one.address));
  const modes = [...new Set(runs.flatMap((run) => run.modes))];
  if (trend !== undefined) await savePictures(fresh, (theme) => trendChart(trend, modes, theme));
  await writeFile(join(fresh, 'index.html'), indexPage(published, trend));
  await writeFile(join(fresh, 'method.html'), methodPage(await marked.parse(await readMethod(methodPath))));
  await writeFile(join(fresh, '.nojekyll'), '');
  await rm(outDir, { recursive: true, force: true });
  await mkdir(dirname(outDir), { recursive: true });
  await rename(fresh, outDir);
  return { runCount: published.runs.length, faults: published.faults };
}

/** The raw data as they were published, and pages of this version around them. */
async function makeRunPages(published: PublishedRun, directory: string): Promise<void> {
  const { path, run } = published;
  await mkdir(directory, { recursive: true });
  const files = (await readdir(path)).filter((name) => /\.(csv|json|jsonl|txt|svg)$/.test(name));
  for (const name of files) await cp(join(path, name), join(directory, name));
  if (run !== undefined) {
    const at = referenceLink(run.links);
    await savePictures(directory, (theme) => benchCharts.phases!({ run, at, theme }));
    await writeFile(join(directory, 'report.html'), await renderReport(run, { home: '../../index.html' }));
    return;
  }
  const tables = await Promise.all(['limits', 'summary'].map((name) => readRows(path, name)));
  const names = files.flatMap((name) => (name.endsWith('.svg') ? name.slice(0, -'.svg'.length) : []));
  const pictures = names.filter((name) => names.includes(`${name}-dark`));
  const page = programPage(
    published,
    tables.filter(({ rows }) => rows.length > 1),
    pictures,
  );
  await writeFile(join(directory, 'index.html'), page);
}

async function savePictures(directory: string, draw: (theme: Theme) => Chart | undefined): Promise<void> {
  for (const theme of themes) {
    const chart = draw(theme);
    if (chart === undefined) continue;
    await writeFile(join(directory, `${pictureName(chart.name, theme)}.svg`), await renderSvg(chart, theme));
  }
}

/** Empty where the run has no such table. */
async function readRows(path: string, name: string): Promise<{ name: string; rows: string[][] }> {
  const text = await readFile(join(path, `${name}.csv`), 'utf8').catch(() => '');
  return { name, rows: parse(text, { relax_column_count: true }) as string[][] };
}

/** From its heading to the next of its level. */
async function readMethod(path: string): Promise<string> {
  const text = await readFile(path, 'utf8');
  const start = text.indexOf(methodHeading);
  const end = text.indexOf('\n## ', start + methodHeading.length);
  return text.slice(start, end < 0 ? undefined : end).replace(methodHeading, '# What a number means');
}
