import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { marked } from 'marked';
import { readRun } from '../run/run.ts';
import { csv, smallRun } from '../testing/small-run.ts';
import { gridOfLinks, syntheticSamples, usualModes } from '../testing/synthetic-run.ts';
import { bencherJson, benchmarkActionJson, runJson } from './json.ts';
import { markdownTable, runMarkdown } from './markdown.ts';

const limit = { timeout: 60_000 };
const grid = readRun(
  syntheticSamples({ workloads: ['gcc', 'python'], modes: usualModes, links: gridOfLinks, samples: 6 }),
  undefined,
);

test('the Markdown opens with the verdict, and its tables are tables to a parser', async () => {
  const text = runMarkdown(grid);
  assert.match(text, /^### estargz is ready .* times as fast as legacy\n\n/);
  const html = await marked.parse(text);
  assert.equal(html.match(/<table>/g)?.length, 2);
  assert.equal(html.match(/<tr>/g)?.length, 1 + 2 * 8 + 1 + 2 * 3 * 8);
  assert.match(runMarkdown(smallRun), /1 \+ 1 failed|2 \+ 1 failed/);
  assert.match(markdownTable(['a', '#b'], [['x|y', '1']]), /\| a \| b \|\n\| --- \| ---: \|\n\| x\\\|y \| 1 \|/);
});

test('JSON has the rows of summary.csv, and the verdict in words', () => {
  const { schema, runId, title, rows } = JSON.parse(runJson(smallRun));
  assert.deepEqual([schema, runId], [1, 'r1']);
  assert.match(title, /estargz/);
  const row = rows.find(
    (one: { workload: string; mode: string }) => one.workload === 'python' && one.mode === 'legacy',
  );
  assert.deepEqual([row.n, row.errors, row.totalMedianMs, row.rttMs], [3, 0, 10_000, 30]);
});

test('github-action-benchmark gets names that stay, units and values, and the link where there are several', () => {
  const entries = JSON.parse(benchmarkActionJson(smallRun)) as { name: string; unit: string; value: number }[];
  assert.deepEqual(
    entries.filter(({ name }) => name.startsWith('python legacy')).map(({ name, unit, value }) => [name, unit, value]),
    [
      ['python legacy: total', 's', 10],
      ['python legacy: bytes on the wire', 'MB', 310],
      ['python legacy: requests', 'requests', 9],
    ],
  );
  assert.equal(
    entries.some(({ name }) => name.startsWith('gcc stargz')),
    false,
    'nothing succeeded',
  );
  assert.match(benchmarkActionJson(grid), /"gcc legacy, 0 ms RTT, 100 Mbit\/s: total"/);
});

test('Bencher gets nanoseconds with their interval, bytes and requests', () => {
  const measures = JSON.parse(bencherJson(grid))['gcc estargz, 30 ms RTT, 100 Mbit/s'];
  assert.deepEqual(Object.keys(measures), ['latency', 'wire-bytes', 'requests']);
  const { value, lower_value: low, upper_value: high } = measures.latency;
  assert.ok(low < value && value < high && value > 1e8 && value < 1e11);
});

test('the command writes what is asked for, and says in one line what is wrong', limit, async (t) => {
  const directory = await makeRun(t, csv);
  const out = join(directory, 'summary.md');
  assert.deepEqual(await invoke(directory, '--markdown', out, '--json', '-'), {
    code: 0,
    stdout: runJson(withoutEnvironment()),
    stderr: '',
  });
  assert.equal(await readFile(out, 'utf8'), runMarkdown(withoutEnvironment()));
  assert.match((await invoke(directory)).stdout, /^### /);
  for (const [args, code, message] of [
    [[], 2, /give one run, or two/],
    [[directory, directory, '--bencher', '-'], 2, /--bencher is for one run/],
    [[directory, '--html', '-'], 2, /--html is for two runs/],
    [['--color'], 2, /Unknown option '--color'/],
    [[join(directory, 'none')], 1, /cannot read .*samples\.csv \(ENOENT\)/],
    [[directory, '--json', join(directory, 'none', 'x')], 1, /cannot write .*x \(ENOENT\)/],
    [[await makeRun(t, 'a,b\n1,2\n')], 1, /lacks the column run_id/],
    [[await makeRun(t, '')], 1, /has no rows/],
    [[await makeRun(t, failures)], 1, /holds no successful sample \(timed out\): nothing to draw/],
    [[await makeRun(t, csv, '{"schema": 99}')], 1, /schema 99, this version reads 1/],
    [
      [await makeRun(t, csv, JSON.stringify({ ...smallRun.environment, program: 'bench:toc' }))],
      1,
      /is a run of bench:toc, not of bench/,
    ],
  ] as const) {
    const { code: actual, stdout, stderr } = await invoke(...args);
    assert.deepEqual([actual, stdout], [code, ''], stderr);
    assert.match(stderr, /^stargz-bench report: [^\n]*\n$/);
    assert.match(stderr, message);
  }
});

const failures =
  'run_id,sample,order,workload,mode,total_ms,ok,error,started_at\nr1,1,1,python,legacy,,false,timed out,2026-01-02\n';

function withoutEnvironment() {
  return readRun(smallRun.samples, undefined);
}

async function invoke(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const cli = fileURLToPath(new URL('cli.ts', import.meta.url));
  return await promisify(execFile)(process.execPath, [cli, ...args]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error) => ({ code: error.code, stdout: error.stdout, stderr: error.stderr }),
  );
}

async function makeRun(t: TestContext, text: string, environment?: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'stargz-bench-formats-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await writeFile(join(directory, 'samples.csv'), text);
  if (environment !== undefined) await writeFile(join(directory, 'environment.json'), environment);
  return directory;
}
