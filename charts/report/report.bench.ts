/**
 * `node charts/report/report.bench.ts [RUN]` prints how long a report of 5,000 rows takes to open in Chromium, and how long and how much
 * memory it takes to draw all charts of a run: of RUN, or of a made-up one with 43 workloads. Not a test, since it measures time.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { maximum, median, sortSamples } from '../../measurements/stats/median.ts';
import { drawCharts } from '../draw.ts';
import { manyWorkloads, tenModes, usualLinks, usualModes, writeSyntheticRun } from '../testing/synthetic-run.ts';

const openings = 7;
const directory = await mkdtemp(join(tmpdir(), 'stargz-bench-report-'));
try {
  await measureOpening(join(directory, 'large'));
  await measureDrawing(process.argv[2] ?? (await makeMany(join(directory, 'many'))));
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function measureOpening(run: string): Promise<void> {
  await writeSyntheticRun(run, { workloads: manyWorkloads, modes: tenModes, links: usualLinks, samples: 12 });
  await drawCharts(run, { pictures: false });
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  const openedMs: number[] = [];
  const drawnMs: number[] = [];
  for (let opening = 0; opening < openings; opening++) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    await page.goto(pathToFileURL(join(run, 'report.html')).href);
    openedMs.push(Number(await page.locator('body').getAttribute('data-opened-ms')));
    await page.waitForFunction("document.body.dataset.drawn === 'true'");
    drawnMs.push(Number(await page.evaluate('performance.now()')));
    await page.close();
  }
  await browser.close();
  const describe = (values: readonly number[]) => {
    const sorted = sortSamples(values)!;
    return `${median(sorted).toFixed(0)} ms, at most ${maximum(sorted).toFixed(0)}`;
  };
  console.log(
    `5,160 rows: the table is there after ${describe(openedMs)} (bound 3000); all charts after ${describe(drawnMs)}`,
  );
}

async function makeMany(run: string): Promise<string> {
  await writeSyntheticRun(run, { workloads: manyWorkloads, modes: usualModes, links: usualLinks, samples: 3 });
  return run;
}

/** In a process of its own, as `npm run charts` does it. */
async function measureDrawing(run: string): Promise<void> {
  const cli = fileURLToPath(new URL('../cli.ts', import.meta.url));
  const report = `import(${JSON.stringify(pathToFileURL(cli).href)}).then(() => console.error(process.resourceUsage().maxRSS))`;
  const start = performance.now();
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', report, run]);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const mib = (Number(stderr.trim().split('\n').at(-1)) / 1024).toFixed(0);
  console.log(`${stdout.trim().split('\n').length} files drawn in ${seconds} s (bound 20) and ${mib} MiB (bound 1024)`);
}
