import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { dirname, join, posix, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The directions of docs/architecture.md. A room is a directory or a file; everything may import from its own room. */

const root = fileURLToPath(new URL('..', import.meta.url));
const limit = { timeout: 30_000 };

/** Outer rooms: what each may import from others. */
const outer: Readonly<Record<string, readonly string[]>> = {
  workloads: [],
  charts: [],
  harness: ['workloads', 'charts', 'snapshotter/api', 'snapshotter/registry', 'snapshotter/convert'],
  snapshotter: [],
};

/** Inner rooms of snapshotter/: each may import what stands above it... */
const order = [
  'snapshotter/api',
  'snapshotter/syscalls.ts',
  'snapshotter/mountinfo.ts',
  'snapshotter/log.ts',
  'snapshotter/abort.ts',
  'snapshotter/registry',
  'snapshotter/estargz',
  'snapshotter/tree',
  'snapshotter/store',
  'snapshotter/metrics.ts',
  'snapshotter/fuse',
  'snapshotter/erofs',
  'snapshotter/keeper',
  'snapshotter/layers',
  'snapshotter/snapshots',
  'snapshotter/service',
  // All other files directly below snapshotter/: what assembles the daemon.
  'snapshotter/*',
];
/** ...except this one, which stands aside. */
const aside: Readonly<Record<string, readonly string[]>> = {
  'snapshotter/convert': ['snapshotter/registry', 'snapshotter/estargz'],
};

interface Import {
  readonly file: string;
  readonly line: number;
  readonly target: string;
  readonly dynamic: boolean;
}

test('rooms import in one direction only', limit, async () => {
  const wrong = (await productionImports()).filter(({ file, target }) => !isAllowed(file, target));
  assert.deepEqual(wrong.map(describe), []);
});

/** A program that measures with what the tests bring: a registry that misbehaves. */
const mayTest = 'harness/hostile/';

test('what is shipped imports nothing that is made for tests', limit, async () => {
  const wrong = (await productionImports()).filter(
    ({ file, target }) => isTest(target) && !file.endsWith('.bench.ts') && !file.startsWith(mayTest),
  );
  assert.deepEqual(wrong.map(describe), []);
});

test('only the discovery of micro benchmarks imports a path that is not written out', limit, async () => {
  const dynamic: string[] = [];
  for (const file of await sourceFiles()) {
    if (isTest(file) || file === 'harness/micro/discover.ts') continue;
    if (/\bimport\((?!\s*')/.test(withoutComments(await readFile(join(root, file), 'utf8')))) dynamic.push(file);
  }
  assert.deepEqual(dynamic, []);
});

test('inner rooms of snapshotter/ are all known to this test', limit, async () => {
  const known = new Set([...order, ...Object.keys(aside)]);
  const rooms = new Set((await sourceFiles()).filter((file) => !isTest(file)).map(roomOf));
  assert.deepEqual([...rooms].filter((room) => room.startsWith('snapshotter/') && !known.has(room)).sort(), []);
});

test('the scanner sees what it should', () => {
  const text = [
    "import a from '../a.ts';",
    "import type {\n  B,\n} from './b.ts';",
    "export * from './c.ts';",
    "import './d.ts';",
    "// import x from './comment.ts';",
    "const e = await import('./e.ts');",
    "import fs from 'node:fs';",
  ].join('\n');
  assert.deepEqual(
    scan('snapshotter/fuse/x.ts', text).map(({ target, dynamic }) => [target, dynamic]),
    [
      ['snapshotter/a.ts', false],
      ['snapshotter/fuse/b.ts', false],
      ['snapshotter/fuse/c.ts', false],
      ['snapshotter/fuse/d.ts', false],
      ['snapshotter/fuse/e.ts', true],
    ],
  );
  assert.equal(isAllowed('snapshotter/fuse/x.ts', 'snapshotter/tree/lookup.ts'), true);
  assert.equal(isAllowed('snapshotter/tree/x.ts', 'snapshotter/fuse/server.ts'), false);
  assert.equal(isAllowed('snapshotter/convert/x.ts', 'snapshotter/store/layer-store.ts'), false);
  assert.equal(isAllowed('harness/x.ts', 'snapshotter/layers/manager.ts'), false);
  assert.equal(isAllowed('harness/x.ts', 'snapshotter/convert/image.ts'), true);
  assert.equal(isAllowed('charts/x.ts', 'harness/row.ts'), false);
});

function isAllowed(file: string, target: string): boolean {
  const [from, to] = [roomOf(file), roomOf(target)];
  if (from === to) return true;
  const [outerFrom, outerTo] = [from.split('/')[0]!, to.split('/')[0]!];
  if (outerFrom !== outerTo) return (outer[outerFrom] ?? []).some((room) => to === room || outerTo === room);
  if (outerFrom !== 'snapshotter') return true;
  const exception = aside[from];
  if (exception !== undefined) return exception.includes(to);
  return order.includes(to) && order.indexOf(to) < order.indexOf(from);
}

/** `harness`, `snapshotter/fuse`, `snapshotter/syscalls.ts`, `snapshotter/*` */
function roomOf(path: string): string {
  const [first = '', second = ''] = path.split('/');
  const room = `${first}/${second}`;
  if (first !== 'snapshotter') return first;
  return second.endsWith('.ts') && !order.includes(room) ? 'snapshotter/*' : room;
}

function isTest(file: string): boolean {
  return file.endsWith('.test.ts') || file.includes('/testing/');
}

async function productionImports(): Promise<Import[]> {
  return (await allImports()).filter(({ file }) => !isTest(file));
}

async function allImports(): Promise<Import[]> {
  const files = await sourceFiles();
  const found = await Promise.all(files.map(async (file) => scan(file, await readFile(join(root, file), 'utf8'))));
  return found.flat();
}

async function sourceFiles(): Promise<string[]> {
  const files: string[] = [];
  for await (const file of glob('{charts,harness,snapshotter,workloads}/**/*.ts', { cwd: root })) {
    if (!file.endsWith('.d.ts')) files.push(relative('', file));
  }
  return files.sort();
}

/** Relative imports, static, re-exported or dynamic; text in template literals could fool it, and none does. */
function scan(file: string, text: string): Import[] {
  const code = withoutComments(text);
  const pattern = /(?:\bfrom\s+|^\s*import\s+|(\bimport\(\s*))'(\.{1,2}\/[^']+)'/gm;
  return [...code.matchAll(pattern)].map((match) => ({
    file,
    line: code.slice(0, match.index).split('\n').length,
    target: posix.normalize(posix.join(dirname(file), match[2]!)),
    dynamic: match[1] !== undefined,
  }));
}

function withoutComments(text: string): string {
  return text
    .replaceAll(/^\s*\/\/.*$/gm, '')
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ''));
}

function describe({ file, line, target }: Import): string {
  return `${file}:${line} -> ${target}`;
}
