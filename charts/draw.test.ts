import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { environmentSchema } from '../measurements/environment.ts';
import { parseSamples } from '../measurements/sample.ts';
import { reproduction } from './conditions.ts';
import { distributionData } from './distribution-chart.ts';
import { drawCharts } from './draw.ts';
import { phaseData } from './phases-chart.ts';
import { readRun } from './run.ts';
import { colorsOf, labelsBelow } from './theme.ts';
import { wireData } from './wire-chart.ts';

const limit = { timeout: 60_000 };

const header =
  'run_id,sample,order,workload,image,mode,pull_ms,create_ms,run_ms,total_ms,wire_bytes,wire_requests,ok,error,image_bytes,rtt_ms,bandwidth_mbps,started_at';

/** Two workloads. Of python's estargz one of three samples failed, of gcc's stargz all. */
const csv = [
  header,
  'r1,1,1,python,p:1,legacy,9000,100,900,10000,310000000,9,true,,300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,2,2,python,p:1,legacy,7000,100,900,8000,310000000,9,true,,300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,3,3,python,p:1,legacy,11000,100,900,12000,310000000,9,true,,300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,1,4,python,p:2,estargz,500,100,400,1000,9000000,40,true,,300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,2,5,python,p:2,estargz,600,100,1300,2000,9000000,40,true,,300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,3,6,python,p:2,estargz,,,,,,,false,"not lazy: 3 of <4> layers",300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,1,7,gcc,g:1,legacy,15000,100,900,16000,400000000,9,true,,400000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,1,8,gcc,g:2,stargz,,,,,,,false,timed out,400000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,1,9,gcc,g:3,estargz,500,100,3400,4000,20000000,60,true,,400000000,30,200,2026-01-02T03:04:05.000Z',
  '',
].join('\n');

const environment = {
  schema: environmentSchema,
  program: 'bench',
  runId: 'r1',
  commit: '0123456789abcdef0123456789abcdef01234567',
  dirty: true,
  command: 'npm run bench',
  seed: 1,
  status: 'complete',
  startedAt: '2026-01-02T03:04:05.000Z',
  endedAt: null,
  link: null,
  daemon: null,
  versions: {},
  machine: { cpu: 'a <b> & c' },
  warnings: [],
  details: {},
} as const;

const run = readRun(parseSamples(csv, 'samples.csv'), environment);

test('the bar of a mode is the sample with the median total, phase by phase', () => {
  const bar = (workload: string, mode: string) =>
    phaseData(run)
      .filter((datum) => datum.kind === 'phase' && datum.workload === workload && datum.mode === mode)
      .map((datum) => datum.seconds);
  assert.deepEqual(bar('python', 'legacy'), [9, 0.1, 0.9]);
  assert.deepEqual(bar('python', 'estargz'), [0.5, 0.1, 0.4], 'of two samples, the lower one');
});

test('every good sample is a dot at its total, and a failed one is none', () => {
  const dots = phaseData(run).filter((datum) => datum.kind === 'sample');
  const expected = csv
    .split('\n')
    .map((line) => line.split(','))
    .filter((cells) => cells[12] === 'true')
    .map((cells) => `${cells[3]} ${cells[5]} ${Number(cells[9]) / 1000}`);
  assert.deepEqual(dots.map((dot) => `${dot.workload} ${dot.mode} ${dot.seconds}`).sort(), expected.sort());
});

test('a speed-up is the median of the rounds, and that of all workloads the median of their geometric means', () => {
  const group = run.groups.find((one) => one.workload === 'python' && one.mode === 'estargz');
  assert.ok(Math.abs(group!.speedUp! - Math.sqrt((10000 / 1000) * (8000 / 2000))) < 1e-9);
  const overall = Object.fromEntries(run.overall.map(({ mode, speedUp }) => [mode, speedUp]));
  assert.ok(Math.abs(overall.estargz! - Math.sqrt(10 * 4)) < 1e-9, 'of the one round that has both workloads');
  assert.equal(overall.legacy, undefined);
  assert.equal(overall.stargz, undefined);
});

test('a mode without a good sample shows the number of failures instead of a bar', () => {
  const failed = phaseData(run).filter((datum) => datum.workload === 'gcc' && datum.mode === 'stargz');
  assert.deepEqual(
    failed.map((datum) => [datum.kind, datum.label]),
    [['failed', '1 failed']],
  );
});

test('the distribution reaches 100 % at the slowest sample', () => {
  const shares = distributionData(run).filter((datum) => datum.workload === 'python' && datum.mode === 'legacy');
  assert.deepEqual(
    shares.map((datum) => [datum.seconds, datum.share]),
    [
      [8, 1 / 3],
      [10, 2 / 3],
      [12, 1],
    ],
  );
});

test('neither a failed cell nor one of unknown size is a dot on the wire chart', () => {
  const dots = wireData(run).filter((datum) => datum.kind === 'sample');
  assert.equal(dots.length, 7);
  const bare = readRun(
    parseSamples(csv.replaceAll(',300000000,30', ',,30').replaceAll(',400000000,30', ',,30'), 'x'),
    undefined,
  );
  assert.deepEqual(wireData(bare), []);
});

test('second runs stand behind their mode, peers last, and each has a colour of its own', () => {
  const names = [
    'mine:estargz',
    'estargz+shared',
    'docker',
    'estargz-noopt',
    'estargz',
    'legacy+again',
    'legacy',
    'estargz+again',
  ];
  const rows = names.map((mode, index) =>
    csv
      .split('\n')[1]!
      .replace('legacy', mode)
      .replace('r1,1,1', `r1,1,${index + 1}`),
  );
  const { modes, overall } = readRun(parseSamples([header, ...rows, ''].join('\n'), 'x'), undefined);
  assert.deepEqual(modes, [
    ...[
      'legacy',
      'legacy+again',
      'estargz',
      'estargz+again',
      'estargz+shared',
      'estargz-noopt',
      'docker',
      'mine:estargz',
    ],
  ]);
  assert.equal(new Set(colorsOf(modes)).size, modes.length);
  assert.match(reproduction({ ...run, modes }), / --modes legacy,legacy\+again,estargz,.*,mine:estargz --samples/);
  assert.doesNotMatch(reproduction(run), /--modes/);
  const compared = overall.filter(({ speedUp }) => speedUp !== undefined).map(({ mode }) => mode);
  assert.deepEqual(
    compared,
    ['estargz', 'estargz+again', 'estargz-noopt', 'docker', 'mine:estargz'],
    'no legacy+shared',
  );
});

test('names below bars stand upright while they fit', () => {
  assert.equal(labelsBelow(['legacy', 'stargz', 'estargz'], 60).labelAngle, 0);
  assert.equal(labelsBelow(['legacy', 'go-stargz:estargz'], 60).labelAngle, -40);
});

test('modes are in their known order, workloads from the fastest', () => {
  assert.deepEqual(run.modes, ['legacy', 'stargz', 'estargz']);
  assert.deepEqual(run.workloads, ['python', 'gcc']);
});

test('drawing twice gives the same SVG, the same PNG at twice the size, and the report', limit, async (t) => {
  const dir = await makeRun(t, csv);
  await writeFile(join(dir, 'environment.json'), JSON.stringify(environment));
  const files = await drawCharts(dir);
  assert.deepEqual(
    files.map((file) => file.slice(dir.length + 1)),
    ['phases', 'distribution', 'wire', 'costs'].flatMap((name) => [`${name}.svg`, `${name}.png`]).concat('report.html'),
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
    '--rtt 30ms',
  ]) {
    assert.ok(svg.includes(words), words);
  }
  await drawCharts(dir);
  assert.equal(await readFile(join(dir, 'phases.svg'), 'utf8'), svg);
  assert.ok(png.equals(await readFile(join(dir, 'phases.png'))));
});

test("text is drawn in the project's font, not in one of the machine", limit, async (t) => {
  const dir = await makeRun(t, csv);
  await drawCharts(dir);
  const { renderPng } = await import('./render.ts');
  const svg = await readFile(join(dir, 'phases.svg'), 'utf8');
  const withoutText = svg.replaceAll(/<text[^>]*>[^<]*<\/text>/g, '');
  assert.ok(renderPng(svg).length - renderPng(withoutText).length > 10_000);
});

test('the report loads nothing, escapes its data, and has unique ids', limit, async (t) => {
  const dir = await makeRun(t, csv);
  await writeFile(join(dir, 'environment.json'), JSON.stringify(environment));
  await drawCharts(dir);
  const html = await readFile(join(dir, 'report.html'), 'utf8');
  assert.doesNotMatch(html.replaceAll(/xmlns(:xlink)?="[^"]*"/g, ''), /https?:|src=|<link|<script|@import/);
  assert.match(html, /not lazy: 3 of &lt;4&gt; layers/);
  assert.match(html, /a &lt;b&gt; &amp; c/);
  const ids = [...html.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1]);
  assert.equal(new Set(ids).size, ids.length);
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
