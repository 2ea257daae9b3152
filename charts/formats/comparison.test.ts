import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readBenchRun } from '../../measurements/bench-run.ts';
import { light } from '../drawing/theme.ts';
import {
  gridOfLinks,
  type SyntheticPlan,
  usualLinks,
  usualModes,
  writeSyntheticRun,
} from '../testing/synthetic-run.ts';
import { changesChart } from './changes-chart.ts';
import { describeChanges } from '../run/changes.ts';
import { compareForReport, comparisonJson, comparisonMarkdown } from './comparison.ts';
import { comparisonHtml } from './comparison-page.ts';

const limit = { timeout: 60_000 };
const plan: SyntheticPlan = {
  workloads: ['python', 'gcc'],
  modes: usualModes,
  links: usualLinks,
  samples: 10,
  seed: 7,
};
let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'stargz-bench-comparison-'));
  const slower = { mode: 'estargz', factor: 1.5 };
  await writeSyntheticRun(join(directory, 'before'), { ...plan, runId: 'before', commit: 'a'.repeat(40) });
  await writeSyntheticRun(join(directory, 'after'), { ...plan, runId: 'after', commit: 'b'.repeat(40), slower });
  await writeSyntheticRun(join(directory, 'elsewhere'), { ...plan, links: [{ rttMs: 5, bandwidthMbps: 50 }] });
  await writeSyntheticRun(join(directory, 'failed'), { ...plan, fails: () => true });
  await writeSyntheticRun(join(directory, 'grid'), { ...plan, links: gridOfLinks, samples: 2 });
}, limit);

after(() => rm(directory, { recursive: true, force: true }));

const compare = async (first: string, second: string) =>
  compareForReport(await readBenchRun(join(directory, first)), await readBenchRun(join(directory, second)), {
    otherImages: false,
  });

test('a mode that became slower is said so, with change and interval, and the others show no difference', async () => {
  const compared = await compare('before', 'after');
  assert.equal(describeChanges(compared), '2 slower, 4 no difference shown');
  const text = comparisonMarkdown(compared);
  assert.match(
    text,
    /^### 2 slower, 4 no difference shown\n\nFrom run before, commit aaaaaaa to run after, commit bbbbbbb\./,
  );
  assert.match(
    text,
    /\| gcc \| estargz \| 30 ms RTT, 200 Mbit\/s \| [\d.]+ \| [\d.]+ \| \+\d.* to \+\d.* % \| slower \| \+0\.0 % \| \+0\.0 % \|/,
  );
  const { rows } = JSON.parse(comparisonJson(compared));
  const slower = rows.filter((row: { total: { verdict: string } }) => row.total.verdict === 'slower');
  assert.deepEqual(slower.map((row: { workload: string; mode: string }) => `${row.workload} ${row.mode}`).sort(), [
    'gcc estargz',
    'python estargz',
  ]);
});

test('the page has the picture and every row, and loads nothing', limit, async () => {
  const html = await comparisonHtml(await compare('before', 'after'));
  assert.equal(html.match(/<tr>/g)?.length, 1 + 6);
  assert.equal(html.match(/verdict slower/g)?.length, 2);
  assert.equal(html.match(/data:image\/svg\+xml/g)?.length, 2);
  assert.doesNotMatch(html, /(?:src|srcset|href)="(?!data:)/);
});

test('rows of several links are told apart in the picture', async () => {
  const chart = changesChart(await compare('grid', 'grid'), light)!;
  assert.match(chart.description, /gcc legacy, 0 ms RTT, 100 Mbit\/s/);
});

test('runs over other links, and runs that failed, are refused in one line', limit, async () => {
  const cli = fileURLToPath(new URL('cli.ts', import.meta.url));
  const invoke = async (first: string, second: string, ...options: string[]) =>
    await promisify(execFile)(process.execPath, [cli, join(directory, first), join(directory, second), ...options]);
  const out = join(directory, 'changes.html');
  assert.equal((await invoke('before', 'after', '--html', out)).stdout, '');
  assert.match(await readFile(out, 'utf8'), /^<!doctype html>/);
  assert.match((await invoke('before', 'after')).stdout, /^### 2 slower/);
  for (const [second, message] of [
    [
      'elsewhere',
      /cannot compare .*before with .*elsewhere: .* not in .*, and 11 more; measure both with the same .*\n$/,
    ],
    [
      'failed',
      /all 60 samples of .*failed failed, the first \w+ \w+: not ready within 60 s; repair that and run bench again\n$/,
    ],
    ['none', /cannot read .*none\/environment\.json \(ENOENT\); give the directory of a run\n$/],
  ] as const) {
    await assert.rejects(invoke('before', second), (error: { code: number; stderr: string; stdout: string }) => {
      assert.deepEqual([error.code, error.stdout], [1, '']);
      assert.match(error.stderr, /^stargz-bench report: [^\n]*\n$/);
      assert.match(error.stderr, message);
      return true;
    });
  }
});
