import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { execa } from 'execa';
import { readEnvironment } from '../../measurements/environment.ts';
import { holdTo, limitColumns } from '../../measurements/limit.ts';
import { type Columns, parseTable, readTable } from '../../measurements/table.ts';
import { readCodeState } from '../host/commit.ts';
import { commandLine } from './command-line.ts';
import { openResults, type ResultsRequest } from './results.ts';

const limit = { timeout: 60_000 };

interface Reading {
  readonly name: string;
  readonly waitMs: number | undefined;
}
const columns: Columns<Reading> = { name: 'text', waitMs: 'number' };

async function request(t: TestContext): Promise<ResultsRequest> {
  const outDir = await mkdtemp(join(tmpdir(), 'stargz-bench-results-'));
  t.after(() => rm(outDir, { recursive: true, force: true }));
  return { program: 'bench:some', argv: ['--samples', '9', '--out', outDir], outDir };
}

test('a run leaves its rows, its limits and a description of its environment', limit, async (t) => {
  const asked = await request(t);
  const link = { rttMs: 30, bandwidthMbps: undefined };
  await using results = await openResults({ ...asked, seed: 7, link, details: { a: 1 } }, t.signal);
  assert.equal((await readEnvironment(results.path)).status, 'running');
  const samples = await results.openTable('samples', columns);
  await samples.append({ name: 'a, "b"', waitMs: 1.23456 });
  await samples.append({ name: 'c', waitMs: undefined });
  await results.complete({ limits: [holdTo('wait', 1.2, 1, 'ms')], details: { b: 2 } });

  assert.deepEqual(await readdir(asked.outDir), ['bench-some']);
  assert.equal(results.path, join(asked.outDir, 'bench-some', results.runId));
  assert.deepEqual(await readTable(columns, { path: join(results.path, 'samples.csv'), required: ['name'] }), [
    { name: 'a, "b"', waitMs: 1.235 },
    { name: 'c', waitMs: undefined },
  ]);
  const limits = await readTable(limitColumns, { path: join(results.path, 'limits.csv'), required: ['name', 'met'] });
  assert.deepEqual(limits, [{ name: 'wait', value: 1.2, bound: 1, unit: 'ms', met: false }]);
  const environment = await readEnvironment(results.path);
  assert.equal(environment.command, 'npm run bench:some -- --samples 9');
  assert.equal(environment.status, 'complete');
  assert.equal(environment.seed, 7);
  assert.deepEqual(environment.link, { rttMs: 30, bandwidthMbps: 'unlimited' });
  assert.deepEqual(environment.details, { a: 1, b: 2 });
  assert.equal(environment.versions.node, process.version);
  assert.ok(environment.endedAt! >= environment.startedAt);
});

test(
  'a run that throws is recorded as failed, an aborted one as interrupted; one without rows leaves nothing',
  limit,
  async (t) => {
    const asked = await request(t);
    const controller = new AbortController();
    const fail = async (rows: number) => {
      await using results = await openResults(asked, controller.signal);
      const samples = await results.openTable('samples', columns);
      for (let row = 0; row < rows; row++) await samples.append({ name: 'a', waitMs: row });
      throw new Error('no more');
    };
    await assert.rejects(fail(0), /no more/);
    assert.deepEqual(await readdir(asked.outDir), []);
    await assert.rejects(fail(1), /no more/);
    controller.abort();
    await assert.rejects(fail(1), /no more/);
    const parent = join(asked.outDir, 'bench-some');
    const states = (await readdir(parent))
      .sort()
      .map(async (runId) => (await readEnvironment(join(parent, runId))).status);
    assert.deepEqual(await Promise.all(states), ['failed', 'interrupted']);
  },
);

test('the recorded command omits the paths of this machine, and can be pasted into a shell', () => {
  const argv = ['--out=/somewhere', '--state-dir', '/elsewhere', '--fuse', '{"workers":2}', '--seed', '1'];
  assert.equal(commandLine('bench:mounts', argv), `npm run bench:mounts -- --fuse '{"workers":2}' --seed 1`);
  assert.equal(commandLine('equality', ['--out', 'results/published']), 'npm run equality');
});

test(
  'a commit with changes outside results is dirty, and a copy inside another checkout has no commit',
  limit,
  async (t) => {
    const root = await mkdtemp(join(tmpdir(), 'stargz-bench-commit-'));
    t.after(() => rm(root, { recursive: true, force: true }));
    assert.deepEqual(await readCodeState(root), { commit: null, dirty: true });
    const git = (...args: string[]) => execa('git', ['-C', root, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args]);
    await git('init', '-q');
    await writeFile(join(root, 'a.ts'), 'one');
    await git('add', '.');
    await git('commit', '-q', '-m', 'one');
    const commit = (await git('rev-parse', 'HEAD')).stdout;
    assert.deepEqual(await readCodeState(root), { commit, dirty: false });
    await execa('mkdir', ['-p', join(root, 'results/published'), join(root, 'copy')]);
    await writeFile(join(root, 'results/published/samples.csv'), 'x');
    assert.deepEqual(await readCodeState(root), { commit, dirty: false });
    assert.deepEqual(await readCodeState(join(root, 'copy')), { commit: null, dirty: true });
    await writeFile(join(root, 'b.ts'), 'untracked');
    assert.deepEqual(await readCodeState(root), { commit, dirty: true });
  },
);

test('a reader ignores unknown columns, and names a required one that is absent', () => {
  const read = (text: string) => parseTable(columns, text, { path: 'x.csv', required: ['name'] });
  assert.deepEqual(read('later,name\n1,a\n'), [{ name: 'a', waitMs: undefined }]);
  assert.throws(() => read('later\n1\n'), {
    code: 'bad-csv',
    message: 'x.csv lacks the column name',
    remedy: /restore the file/,
  });
  assert.throws(() => read('name,wait_ms\na,soon\n'), { message: 'x.csv, line 2: wait_ms is not a number: soon' });
});

test('an environment of another schema, or of none, is rejected', limit, async (t) => {
  const { outDir } = await request(t);
  await assert.rejects(readEnvironment(outDir), { code: 'missing-file' });
  await writeFile(join(outDir, 'environment.json'), '{"runId":"20261126-002146"}');
  await assert.rejects(readEnvironment(outDir), { code: 'unknown-schema', message: /schema absent/ });
  await writeFile(join(outDir, 'environment.json'), '{"schema":1,"commit":"main"}');
  await assert.rejects(readEnvironment(outDir), { code: 'bad-environment', message: /commit/ });
  await readFile(join(outDir, 'environment.json'));
});
