import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { readBenchRun } from '../../../measurements/bench-run.ts';
import { readTimeline } from '../../../measurements/timeline.ts';
import { quickCell } from '../../bench/testing/fake-dependencies.ts';
import { start } from '../../bench/testing/start-command.ts';

const limit = { timeout: 120_000 };
const program = fileURLToPath(new URL('cli.ts', import.meta.url));
const plan = ['--samples', '4', '--workloads', 'gcc'];

async function shard(t: TestContext, ...argv: readonly string[]) {
  return await start(t, [...plan, ...argv], quickCell);
}

async function merge(outDir: string, ...runs: readonly { readonly path: string }[]) {
  const argv = [program, ...runs.map(({ path }) => path), '--out', outDir];
  return await execa(process.execPath, argv, { reject: false });
}

test('the shards of a plan become one run, with what is missing said', limit, async (t) => {
  const [first, second, whole] = [
    await shard(t, '--seed', '5', '--timeline', '--shard', '1/2'),
    await shard(t, '--seed', '5', '--timeline', '--shard', '2/2'),
    await shard(t, '--seed', '5', '--timeline'),
  ];
  const outDir = join(whole.outDir, 'merged');
  const { exitCode, stdout, stderr } = await merge(outDir, first, second);
  assert.equal(exitCode, 0, stderr);
  assert.match(stdout, /4 samples each/);
  const [runId = ''] = await readdir(join(outDir, 'bench'));
  const merged = await readBenchRun(join(outDir, 'bench', runId));
  const cells = ({ samples }: typeof merged) => samples.map(({ order, mode, sample }) => [order, mode, sample]);
  assert.deepEqual(cells(merged), cells(await readBenchRun(whole.path)));
  const places = async (path: string) =>
    (await readTimeline(path)).map(({ workload, mode, kind, atMs }) => [workload, mode, kind, atMs]);
  assert.deepEqual(await places(merged.path), await places(whole.path));
  assert.equal(merged.environment.details.tracedStarts, 3);
  const parts = new Map(merged.samples.map((sample) => [sample.runId, sample.sample % 2]));
  assert.deepEqual(
    [...parts.values()].sort(),
    [0, 1],
    'each round is of one part, although both may have begun at once',
  );
  const { status, command, details } = merged.environment;
  assert.equal(status, 'complete');
  assert.equal(command, 'npm run bench -- --samples 4 --workloads gcc --seed 5 --timeline');
  assert.equal((details.parts as unknown[]).length, 2);
  assert.ok((await readdir(merged.path)).includes('report.html'));

  const lacking = await merge(join(whole.outDir, 'lacking'), second);
  assert.match(lacking.stdout, /^lacks +rounds 1, 3 of 4$/m);
});

test('runs of other plans, and a shard given twice, are refused and leave nothing', limit, async (t) => {
  const first = await shard(t, '--seed', '5', '--shard', '1/2');
  const outDir = join(first.outDir, 'merged');
  const twice = await merge(outDir, first, first);
  assert.equal(twice.exitCode, 1);
  assert.match(twice.stderr, /^merge: two of the runs have measured gcc \w+, cell 1; give each shard once$/);
  const other = await merge(outDir, first, await shard(t, '--seed', '6', '--shard', '2/2'));
  assert.match(other.stderr, /^merge: \S+ is not of one plan with \S+: another seed; merge runs of one commit/);
  assert.deepEqual(await readdir(outDir), []);
});
