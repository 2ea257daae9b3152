import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Found, resolvePath } from './path-resolution.ts';

const tree: Readonly<Record<string, string>> = {
  c: '/',
  'c/d': '/',
  'c/f': 'file',
  a: '-> c/d',
  up: '-> a/../x',
  below: '-> ../../../c',
  absolute: '-> /c/../c/d',
  loop: '-> pool',
  pool: '-> loop',
  'c/d/up': '-> ../../a/..',
  self: '-> .',
};

function resolve(path: string): string {
  const look = (at: string): Found => {
    const what = tree[at];
    if (what === undefined) return { kind: 'missing' };
    if (what.startsWith('-> ')) return { kind: 'symlink', target: what.slice(3) };
    return { kind: what === '/' ? 'dir' : 'other' };
  };
  const resolution = resolvePath(path, look);
  switch (resolution.kind) {
    case 'missing':
      return `${resolution.path} + ${resolution.missing.join('/')}`;
    case 'dir':
    case 'other':
      return `${resolution.kind} ${resolution.path}`;
    default:
      return resolution.kind;
  }
}

test('symlinks resolve as in containerd’s fs.RootPath', { timeout: 10_000 }, () => {
  const cases: readonly (readonly [string, string])[] = [
    ['', 'dir '],
    ['c/d/', 'dir c/d'],
    ['a', 'dir c/d'],
    ['a/new/file', 'c/d + new/file'],
    ['up', 'c + x'],
    ['below/f', 'other c/f'],
    ['absolute/..', 'dir c'],
    ['../../a', 'dir c/d'],
    ['self/self/c', 'dir c'],
    ['c/d/up', 'dir '],
    ['nowhere/deep', ' + nowhere/deep'],
    ['c/f/g', 'not-a-directory'],
    ['loop/x', 'too-many-links'],
    ['a/'.repeat(5000), 'too-long'],
  ];
  for (const [path, expected] of cases) assert.equal(resolve(path), expected, path.slice(0, 40));
});
