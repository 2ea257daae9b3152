import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Environment, readEnvironment } from '../measurements/environment.ts';
import { MeasurementError } from '../measurements/error.ts';
import { readSamples } from '../measurements/sample.ts';
import { benchCharts } from './bench/charts.ts';
import { renderPng, renderSvg } from './drawing/render.ts';
import { pictureName, themes } from './drawing/theme.ts';
import { drawMountsChart } from './mounts-chart.ts';
import { renderReport } from './report/report.ts';
import { readRun, referenceLink, type Run } from './run/run.ts';

/**
 * Draws all charts of a run from its tables into its directory, as SVG and PNG, for light and for dark pages, and for `bench`
 * report.html, without the pictures if they are not wanted. The same tables give the same SVG, byte for byte. Returns the files' paths. Throws MeasurementError.
 */
export async function drawCharts(resultDir: string, { pictures = true } = {}): Promise<string[]> {
  const environment = await readOwnEnvironment(resultDir);
  if (environment?.program === 'bench:mounts') return await drawMountsChart(resultDir, environment);
  const run = await readBenchRun(resultDir, environment);
  const files: string[] = [];
  const save = async (name: string, content: string | Buffer) => {
    files.push(join(resultDir, name));
    await writeAside(join(resultDir, name), content);
  };
  for (const theme of pictures ? themes : []) {
    for (const draw of Object.values(benchCharts)) {
      const chart = draw({ run, at: referenceLink(run.links), theme });
      if (chart === undefined) continue;
      const svg = await renderSvg(chart, theme);
      await save(`${pictureName(chart.name, theme)}.svg`, svg);
      await save(`${pictureName(chart.name, theme)}.png`, renderPng(svg, theme));
    }
  }
  await save('report.html', await renderReport(run));
  return files;
}

/** A run that has something to show. Throws MeasurementError. */
async function readBenchRun(resultDir: string, environment: Environment | undefined): Promise<Run> {
  const run = readRun(await readSamples(resultDir), environment);
  if (run.links.every(({ groups }) => groups.every((group) => group.samples.length === 0))) {
    const path = join(resultDir, 'samples.csv');
    throw new MeasurementError('no-samples', `${path} holds no successful sample: nothing to draw`);
  }
  return run;
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
