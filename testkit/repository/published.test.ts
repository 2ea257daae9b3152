import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { execa } from 'execa';
import { environmentSchema } from '../../measurements/environment.ts';
import { findPublishedFaults, findReferences } from './published.ts';

const limit = { timeout: 30_000 };

test('a run that is complete, clean and of a commit in the history can be quoted', limit, async (t) => {
  const { root, publish, write } = await repository(t);
  await publish('bench-pull/1', { program: 'bench:pull', runId: '1' });
  await write('docs/a/speed.md', 'fast:\n![chart](../../results/published/bench-pull/1/environment.json).\n');
  await write('README.md', 'Published runs lie below results/published, like results/published/bench-pull/1.\n');
  assert.deepEqual(await findPublishedFaults(root), []);
  assert.deepEqual((await findReferences(root)).map(({ place, path }) => `${place} ${path}`).sort(), [
    'README.md:1 results/published/bench-pull/1',
    'docs/a/speed.md:2 results/published/bench-pull/1/environment.json',
  ]);
});

test('references and runs that cannot be traced are reported', limit, async (t) => {
  const { root, publish, write } = await repository(t);
  await publish('bench/dirty', { runId: 'dirty', dirty: true });
  await publish('bench/lost', { runId: 'lost', commit: '0123456789abcdef0123456789abcdef01234567' });
  await publish('bench/none', { runId: 'none', commit: null });
  await publish('bench/failed', { runId: 'failed', status: 'failed' });
  await publish('bench/moved', { runId: 'from-elsewhere' });
  await publish('bench/other', { runId: 'other', program: 'hostile' });
  await publish('bench/old', { runId: 'old', schema: undefined });
  await write('results/published/bench/bare/samples.csv', '');
  await write('results/published/numbers.csv', '');
  await write('README.md', '[a](results/published/bench/gone/phases.png) and [b](results/published/numbers.csv)\n');
  const faults = await findPublishedFaults(root);
  for (const expected of [
    /README\.md:1: results\/published\/bench\/gone\/phases\.png does not exist/,
    /README\.md:1: results\/published\/numbers\.csv is not in a run's directory/,
    /bench\/dirty: made from a tree with uncommitted changes/,
    /bench\/lost: 0123456789abcdef0123456789abcdef01234567 is not in this history/,
    /bench\/none: names no commit/,
    /bench\/failed: status failed/,
    /bench\/moved: is run from-elsewhere/,
    /bench\/other: is a run of hostile/,
    /bench\/old: .*schema absent/,
    /bench\/bare: cannot read .*environment\.json/,
    /published\/numbers\.csv is not the directory of a program's runs/,
  ]) {
    assert.equal(faults.filter((fault) => expected.test(fault)).length, 1, `${expected}\n${faults.join('\n')}`);
  }
  assert.equal(faults.length, 11);
});

test('a shallow clone, which has no history, does not hold the lack of it against a run', limit, async (t) => {
  const { root, publish } = await repository(t);
  const clone = await mkdtemp(join(tmpdir(), 'stargz-bench-shallow-'));
  t.after(() => rm(clone, { recursive: true, force: true }));
  await execa('git', ['clone', '-q', '--depth', '1', `file://${root}`, clone]);
  const place = await publish('bench/one', { runId: 'one' });
  await mkdir(join(clone, place), { recursive: true });
  await copyFile(join(root, place, 'environment.json'), join(clone, place, 'environment.json'));
  assert.deepEqual(await findPublishedFaults(clone), []);
});

async function repository(t: TestContext) {
  const root = await mkdtemp(join(tmpdir(), 'stargz-bench-published-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const git = (...args: string[]) => execa('git', ['-C', root, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args]);
  await git('init', '-q');
  await git('commit', '-q', '--allow-empty', '-m', 'one');
  const commit = (await git('rev-parse', 'HEAD')).stdout;
  await git('commit', '-q', '--allow-empty', '-m', 'two');
  const write = async (path: string, text: string) => {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), text);
  };
  const publish = async (path: string, differences: object) => {
    const environment = {
      ...{ schema: environmentSchema, program: 'bench', runId: '', commit, dirty: false, command: 'npm run bench' },
      ...{ status: 'complete', startedAt: '2026-11-26T00:00:00.000Z', versions: {}, machine: {}, details: {} },
      ...differences,
    };
    await write(`results/published/${path}/environment.json`, JSON.stringify(environment));
    return `results/published/${path}`;
  };
  return { root, publish, write };
}
