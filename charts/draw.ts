import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { costsChart } from './costs-chart.ts';
import { distributionChart } from './distribution-chart.ts';
import { ChartError } from './error.ts';
import { groupSamples } from './groups.ts';
import { phasesChart } from './phases-chart.ts';
import { renderPng, renderSvg } from './render.ts';
import { type DrawnChart, renderReport } from './report.ts';
import { readSamples } from './samples.ts';
import { wireChart } from './wire-chart.ts';

/**
 * Draws all charts of a run from its samples.csv into its directory, as SVG and PNG, and report.html around them (with
 * environment.json, where there is one). The same CSV gives the same SVG, byte for byte. Returns the files' paths.
 */
export async function drawCharts(resultDir: string): Promise<string[]> {
  const path = join(resultDir, 'samples.csv');
  const run = groupSamples(await readSamples(path));
  if (run.groups.every((group) => group.samples.length === 0)) {
    throw new ChartError('no-samples', `${path} holds no successful sample: nothing to draw`);
  }
  const files: string[] = [];
  const save = async (name: string, content: string | Buffer) => {
    files.push(join(resultDir, name));
    await writeAside(join(resultDir, name), content);
  };
  const drawn: DrawnChart[] = [];
  for (const chart of [phasesChart(run), distributionChart(run), wireChart(run), costsChart(run)]) {
    if (chart === undefined) continue;
    const svg = await renderSvg(chart);
    await save(`${chart.name}.svg`, svg);
    await save(`${chart.name}.png`, renderPng(svg));
    drawn.push({ chart, svg });
  }
  await save('report.html', renderReport(run, drawn, await readEnvironment(resultDir)));
  return files;
}

async function readEnvironment(resultDir: string): Promise<Record<string, unknown> | undefined> {
  const text = await readFile(join(resultDir, 'environment.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

async function writeAside(path: string, content: string | Buffer): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}
