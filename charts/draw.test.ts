import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { drawCharts } from './draw.ts';
import { renderPng } from './drawing/render.ts';
import { light } from './drawing/theme.ts';
import { csv, environment, header } from './testing/small-run.ts';

const limit = { timeout: 60_000 };

test(
  'drawing twice gives the same SVG, the same PNG at twice the size, light and dark, and the report',
  limit,
  async (t) => {
    const dir = await makeRun(t, csv);
    await writeFile(join(dir, 'environment.json'), JSON.stringify(environment));
    const files = await drawCharts(dir);
    assert.deepEqual(
      files.map((file) => file.slice(dir.length + 1)),
      ['', '-dark']
        .flatMap((theme) => ['phases', 'relative', 'intervals', 'ecdf', 'wire'].map((name) => name + theme))
        .flatMap((name) => [`${name}.svg`, `${name}.png`])
        .concat('report.html'),
    );
    const svg = await readFile(join(dir, 'phases.svg'), 'utf8');
    const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(svg)!.map(Number);
    const png = await readFile(join(dir, 'phases.png'));
    assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [width! * 2, height! * 2]);
    assert.ok(png.length > 20_000, 'text and bars were drawn');
    for (const words of [
      'From pull to ready',
      '30 ms RTT, 200 Mbit/s',
      '2026-01-02, commit 0123456 + uncommitted changes',
      '10.0 s',
      '6.3×',
      '1 failed',
      'npm run bench',
    ]) {
      assert.ok(svg.includes(words), words);
    }
    await drawCharts(dir);
    assert.equal(await readFile(join(dir, 'phases.svg'), 'utf8'), svg);
    assert.ok(png.equals(await readFile(join(dir, 'phases.png'))));
  },
);

test("text is drawn in the project's font, not in one of the machine", limit, async (t) => {
  const dir = await makeRun(t, csv);
  await drawCharts(dir);
  const svg = await readFile(join(dir, 'phases.svg'), 'utf8');
  const withoutText = svg.replaceAll(/<text[^>]*>[^<]*<\/text>/g, '');
  assert.ok(renderPng(svg, light).length - renderPng(withoutText, light).length > 10_000);
});

test('one workload in one mode, without a link or a baseline, is drawn', limit, async (t) => {
  const dir = await makeRun(t, `${bareHeader}\nr1,1,1,redis,estargz,1,2,3,6,true,2026-01-02\n`);
  assert.ok((await drawCharts(dir)).length >= 5);
});

const bareHeader = 'run_id,sample,order,workload,mode,pull_ms,create_ms,run_ms,total_ms,ok,started_at';

const refused: [string, string | undefined, RegExp][] = [
  ['a missing file', undefined, /cannot read .*samples\.csv \(ENOENT\)/],
  ['an empty file', '', /has no rows/],
  [
    'a file that is something else',
    'a,b\n1,2\n',
    /lacks the column run_id, sample, order, workload, mode, ok, started_at/,
  ],
  [
    'times that are lost',
    `${bareHeader.replace('total_ms', 'sum_ms')}\nr1,1,1,python,legacy,1,2,3,6,true,2026-01-02\n`,
    /has no total_ms of python legacy, sample 1, which succeeded/,
  ],
  ['a torn file', `${header}\nr1,1,1,py`, /is not a table of results/],
  ['a cell that is no number', csv.replace(',10000,', ',soon,'), /line 2: total_ms is not a number: soon/],
  ['nothing but failures', `${bareHeader}\nr1,1,1,python,legacy,,,,,false,2026-01-02\n`, /holds no successful sample/],
];
for (const [what, text, message] of refused) {
  test(`${what} is rejected in one line`, limit, async (t) => {
    const dir = await makeRun(t, text);
    await assert.rejects(drawCharts(dir), (error: Error) => {
      assert.equal(error.name, 'MeasurementError');
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  });
}

test('the command draws a directory, and prints its usage if there is none', limit, async (t) => {
  const cli = fileURLToPath(new URL('cli.ts', import.meta.url));
  const invoke = (...args: string[]) => promisify(execFile)(process.execPath, [cli, ...args]);
  const dir = await makeRun(t, csv);
  assert.match((await invoke(dir)).stdout, /phases\.svg\n/);
  await assert.rejects(invoke(), { code: 2, stderr: /^stargz-bench charts: which run\? usage: .*\n$/ });
  await assert.rejects(invoke('--color'), {
    code: 2,
    stderr: /^stargz-bench charts: Unknown option '--color'[^\n]*\n$/,
  });
  await assert.rejects(invoke(join(dir, 'none')), { code: 1, stderr: /^stargz-bench charts: cannot read [^\n]*\n$/ });
});

async function makeRun(t: TestContext, text: string | undefined): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'stargz-bench-charts-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  if (text !== undefined) await writeFile(join(dir, 'samples.csv'), text);
  return dir;
}
