import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { commitFileName, readBuild } from './build.ts';

const limit = { timeout: 30_000 };

function makePackage(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'build-'));
  t.after(() => rmSync(directory, { recursive: true }));
  mkdirSync(join(directory, 'package'));
  writeFileSync(join(directory, 'package/package.json'), '{"name":"tested","version":"1.2.3"}');
  return join(directory, 'package');
}

function git(directory: string, ...args: string[]): string {
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@localhost'];
  return execFileSync('git', ['-C', directory, ...identity, ...args], { encoding: 'utf8', stdio: 'pipe' }).trim();
}

test('a package outside of any clone has a version and no commit', limit, (t) => {
  assert.deepEqual(readBuild(makePackage(t)), { name: 'tested', version: '1.2.3', commit: undefined });
});

test('the commit of a clone is found on a branch, detached, packed and in a worktree', limit, (t) => {
  const clone = makePackage(t);
  git(clone, 'init', '--initial-branch=some/branch');
  assert.equal(readBuild(clone).commit, undefined, 'before the first commit');
  git(clone, 'add', '.');
  git(clone, 'commit', '--message=first');
  const commit = git(clone, 'rev-parse', 'HEAD');
  assert.equal(readBuild(clone).commit, commit);
  git(clone, 'pack-refs', '--all');
  assert.equal(readBuild(clone).commit, commit, 'packed');
  const worktree = join(clone, '../worktree');
  git(clone, 'worktree', 'add', '-b', 'other', worktree);
  assert.equal(readBuild(worktree).commit, commit, 'worktree');
  git(clone, 'checkout', '--detach');
  assert.equal(readBuild(clone).commit, commit, 'detached');
});

test('a commit recorded by an image build takes precedence, and other text in its file is ignored', limit, (t) => {
  const directory = makePackage(t);
  const commit = 'c0ffee'.padEnd(40, '0');
  writeFileSync(join(directory, commitFileName), `${commit}\n`);
  assert.equal(readBuild(directory).commit, commit);
  writeFileSync(join(directory, commitFileName), 'unknown\n');
  assert.equal(readBuild(directory).commit, undefined);
});
