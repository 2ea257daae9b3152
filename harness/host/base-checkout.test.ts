import assert from 'node:assert/strict';
import { access, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { execa } from 'execa';
import { UsageError } from '../cli/quantity.ts';
import { ensureCheckout, resolveBase } from './base-checkout.ts';

const limit = { timeout: 120_000 };
const lockOf = (version: string) =>
  JSON.stringify({ name: 'a', version, lockfileVersion: 3, packages: { '': { name: 'a', version } } });

/** Two commits, the second with another package-lock.json, and a third like the second. */
async function repositoryOf(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'stargz-bench-base-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const repository = join(directory, 'repository');
  await mkdir(join(repository, 'node_modules'), { recursive: true });
  const git = (...args: string[]) =>
    execa('git', ['-C', repository, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args]);
  await git('init', '-q');
  for (const [version, text] of [
    ['1.0.0', 'one'],
    ['2.0.0', 'two'],
    ['2.0.0', 'three'],
  ] as const) {
    await writeFile(join(repository, 'main.ts'), text);
    await writeFile(join(repository, 'package.json'), JSON.stringify({ name: 'a', version }));
    await writeFile(join(repository, 'package-lock.json'), lockOf(version));
    await git('add', 'main.ts', 'package.json', 'package-lock.json');
    await git('commit', '-q', '-m', text);
  }
  return { repository, stateDir: join(directory, 'state') };
}

test('a commit is checked out with the dependencies of this code, where both lock the same', limit, async (t) => {
  const { repository, stateDir } = await repositoryOf(t);
  const base = await resolveBase('HEAD~1', stateDir, repository);
  assert.match(base.commit, /^[0-9a-f]{40}$/);
  const steps: string[] = [];
  await ensureCheckout(base, (step) => steps.push(step), t.signal, repository);
  assert.equal(await readFile(join(base.directory, 'main.ts'), 'utf8'), 'two');
  assert.equal(await readlink(join(base.directory, 'node_modules')), join(repository, 'node_modules'));
  assert.deepEqual(steps, [`checking out ${base.commit.slice(0, 7)}`]);
  await ensureCheckout(base, (step) => steps.push(step), t.signal, repository);
  assert.equal(steps.length, 1, 'it is kept');
  assert.deepEqual(await readdir(join(stateDir, 'base')), [base.commit]);
});

test('a checkout whose dependencies have gone is made again', limit, async (t) => {
  const { repository, stateDir } = await repositoryOf(t);
  const base = await resolveBase('HEAD', stateDir, repository);
  await ensureCheckout(base, () => {}, t.signal, repository);
  const link = join(base.directory, 'node_modules');
  await rm(link);
  await symlink(join(stateDir, 'gone'), link);
  await ensureCheckout(base, () => {}, t.signal, repository);
  assert.equal(await readlink(link), join(repository, 'node_modules'));
});

test('a commit with other dependencies gets its own, and takes the place of the one before', limit, async (t) => {
  const { repository, stateDir } = await repositoryOf(t);
  await ensureCheckout(await resolveBase('HEAD', stateDir, repository), () => {}, t.signal, repository);
  const first = await resolveBase('HEAD~2', stateDir, repository);
  await ensureCheckout(first, () => {}, t.signal, repository);
  assert.equal(await readFile(join(first.directory, 'main.ts'), 'utf8'), 'one');
  await assert.rejects(access(join(first.directory, 'node_modules', 'koffi')), { code: 'ENOENT' });
  assert.deepEqual(await readdir(join(stateDir, 'base')), [first.commit]);
});

test('what is no commit is wrong usage, and nothing is left of a checkout that fails', limit, async (t) => {
  const { repository, stateDir } = await repositoryOf(t);
  for (const ref of ['no-such-branch', '--all']) {
    await assert.rejects(resolveBase(ref, stateDir, repository), (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /is no commit of this repository; git fetch/);
      return true;
    });
  }
  const absent = { commit: '0'.repeat(40), directory: join(stateDir, 'base', '0'.repeat(40)) };
  await assert.rejects(
    ensureCheckout(absent, () => {}, t.signal, repository),
    { message: /cannot check out 0000000: git archive/ },
  );
  const good = await resolveBase('HEAD', stateDir, repository);
  await ensureCheckout(good, () => {}, t.signal, repository);
  assert.deepEqual(await readdir(join(stateDir, 'base')), [good.commit]);
});
