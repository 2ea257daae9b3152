import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { execa } from 'execa';
import { publishRun } from './publish.ts';

const limit = { timeout: 60_000 };
const { signal } = new AbortController();
const person = ['-c', 'user.name=A Person', '-c', 'user.email=person@example.org'];

/** A remote repository with a branch `main`, two clones of it, and a run. */
async function clones(t: TestContext): Promise<{ ours: string; theirs: string; remote: string; run: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'actions-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const [remote, ours, theirs] = ['remote', 'ours', 'theirs'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  await execa('git', ['init', '--quiet', '--bare', '--initial-branch', 'main', remote]);
  await execa('git', ['clone', '--quiet', remote, theirs]);
  await pushFrom(theirs, 'first');
  await execa('git', ['clone', '--quiet', remote, ours]);
  const run = join(directory, 'merged/bench/20261127-000000');
  await mkdir(run, { recursive: true });
  await writeFile(join(run, 'samples.csv'), 'workload\n');
  return { ours, theirs, remote, run };
}

async function pushFrom(clone: string, name: string): Promise<void> {
  await writeFile(join(clone, name), name);
  await execa('git', ['add', name], { cwd: clone });
  await execa('git', [...person, 'commit', '--quiet', '--message', name], { cwd: clone });
  await execa('git', ['push', '--quiet', 'origin', 'HEAD:main'], { cwd: clone });
}

test('a run is committed and pushed, also after somebody else has pushed', limit, async (t) => {
  const { ours, theirs, remote, run } = await clones(t);
  await pushFrom(theirs, 'second');
  const path = await publishRun({ run, checkout: ours, branch: 'main' }, signal);
  assert.equal(path, 'results/published/bench/20261127-000000');
  const { stdout } = await execa('git', ['log', '--format=%an: %s', 'main'], { cwd: remote });
  assert.deepEqual(stdout.split('\n'), [
    'github-actions[bot]: results: bench 20261127-000000',
    'A Person: second',
    'A Person: first',
  ]);
  const { stdout: files } = await execa('git', ['ls-tree', '-r', '--name-only', 'main'], { cwd: remote });
  assert.ok(files.split('\n').includes(`${path}/samples.csv`));
});

test('a push that is refused names the branch and the reason', limit, async (t) => {
  const { ours, remote, run } = await clones(t);
  await writeFile(join(remote, 'hooks/pre-receive'), '#!/bin/sh\necho protected >&2\nexit 1\n', { mode: 0o755 });
  await assert.rejects(
    publishRun({ run, checkout: ours, branch: 'main' }, signal),
    /20261127-000000 was not pushed to main after 5 attempts: /,
  );
});

test('a directory without samples is not published', limit, async (t) => {
  const { ours, theirs } = await clones(t);
  await assert.rejects(publishRun({ run: theirs, checkout: ours, branch: 'main' }, signal), /holds no samples.csv/);
});
