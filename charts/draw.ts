import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Environment, readEnvironment } from '../measurements/environment.ts';
import { MeasurementError } from '../measurements/error.ts';
import { readSamples } from '../measurements/sample.ts';
import { costsChart } from './costs-chart.ts';
import { distributionChart } from './distribution-chart.ts';
import { drawMountsChart } from './mounts-chart.ts';
import { phasesChart } from './phases-chart.ts';
import { renderPng, renderSvg } from './render.ts';
import { type DrawnChart, renderReport } from './report.ts';
import { readRun } from './run.ts';
import { wireChart } from './wire-chart.ts';

/**
 * Draws all charts of a run from its tables into its directory, as SVG and PNG, and for `bench` report.html around them. The
 * same tables give the same SVG, byte for byte. Returns the files' paths. Throws MeasurementError.
 */
export async function drawCharts(resultDir: string): Promise<string[]> {
  const environment = await readOwnEnvironment(resultDir);
  if (environment?.program === 'bench:mounts') return await drawMountsChart(resultDir, environment);
  const run = readRun(await readSamples(resultDir), environment);
  if (run.groups.every((group) => group.samples.length === 0)) {
    const path = join(resultDir, 'samples.csv');
    throw new MeasurementError('no-samples', `${path} holds no successful sample: nothing to draw`);
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
  await save('report.html', renderReport(run, drawn));
  return files;
}

/** A table without environment.json is drawn too, and its charts say that the commit was not recorded. */
async function readOwnEnvironment(resultDir: string): Promise<Environment | undefined> {
  try {
    return await readEnvironment(resultDir);
  } catch (error) {
    if (error instanceof MeasurementError && error.code === 'missing-file') return undefined;
    throw error;
  }
}

async function writeAside(path: string, content: string | Buffer): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}
