import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { benchCharts } from './bench/charts.ts';
import { renderPng, renderSvg } from './drawing/render.ts';
import { pictureName, themes } from './drawing/theme.ts';
import { drawMountsChart } from './mounts-chart.ts';
import { renderReport } from './report/report.ts';
import { loadEnvironment, loadRun } from './run/load.ts';
import { referenceLink } from './run/run.ts';

/**
 * Draws all charts of a run from its tables into its directory, as SVG and PNG, for light and for dark pages, and for `bench`
 * report.html, without the pictures if they are not wanted. The same tables give the same SVG, byte for byte. Returns the files' paths. Throws MeasurementError.
 */
export async function drawCharts(resultDir: string, { pictures = true } = {}): Promise<string[]> {
  const environment = await loadEnvironment(resultDir);
  if (environment?.program === 'bench:mounts') return await drawMountsChart(resultDir, environment);
  const run = await loadRun(resultDir, environment);
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

async function writeAside(path: string, content: string | Buffer): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}
