import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { dirname, join, posix, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The directions of docs/architecture.md. A room is a directory; tests and benchmarks may import from anywhere. */

const root = fileURLToPath(new URL('../..', import.meta.url));
const limit = { timeout: 30_000 };

/** Top-level rooms: what each may import from the others: a room, an inner room or a single file. */
const outer: Readonly<Record<string, readonly string[]>> = {
  measurements: [],
  workloads: [],
  charts: ['measurements'],
  snapshotter: [],
  testkit: ['measurements', 'snapshotter'],
  harness: [
    'measurements',
    'workloads',
    'charts',
    'testkit',
    'snapshotter/api',
    'snapshotter/registry',
    'snapshotter/convert',
    'snapshotter/process/node-options.ts',
  ],
};

/** Inner rooms, in order: each may import those above it. `/*` stands for the files directly below the top-level room. */
const order: Readonly<Record<string, readonly string[]>> = {
  snapshotter: [
    'snapshotter/api',
    'snapshotter/platform',
    'snapshotter/registry',
    'snapshotter/estargz',
    'snapshotter/tree',
    'snapshotter/store',
    'snapshotter/config',
    'snapshotter/observability',
    'snapshotter/fuse',
    'snapshotter/erofs',
    'snapshotter/layers',
    'snapshotter/snapshots',
    'snapshotter/service',
    'snapshotter/process',
    'snapshotter/handover',
    'snapshotter/bench',
    'snapshotter/*',
  ],
  harness: [
    'harness/cli',
    'harness/host',
    'harness/registry',
    'harness/link',
    'harness/containerd',
    'harness/images',
    'harness/run',
    'harness/cell',
    'harness/progress',
    'harness/bench',
    'harness/assembly',
    'harness/programs',
    'harness/*',
  ],
};
/** Rooms outside that order. */
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
const mayTest = 'harness/programs/hostile/';

test('what is shipped imports nothing that is made for tests', limit, async () => {
  const wrong = (await productionImports()).filter(({ file, target }) => isTest(target) && !file.startsWith(mayTest));
  assert.deepEqual(wrong.map(describe), []);
});

test('only the discovery of micro benchmarks imports a path that is not written out', limit, async () => {
  const dynamic: string[] = [];
  for (const file of await sourceFiles()) {
    if (isTest(file) || file === 'harness/programs/micro/discover.ts') continue;
    if (/\bimport\((?!\s*')/.test(withoutComments(await readFile(join(root, file), 'utf8')))) dynamic.push(file);
  }
  assert.deepEqual(dynamic, []);
});

test('every room is known to this test', limit, async () => {
  const known = new Set([...Object.keys(outer), ...Object.values(order).flat(), ...Object.keys(aside)]);
  const rooms = new Set((await sourceFiles()).filter((file) => !isTest(file)).map(roomOf));
  assert.deepEqual([...rooms].filter((room) => !known.has(room)).sort(), []);
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
  assert.equal(isAllowed('charts/x.ts', 'harness/run/row.ts'), false);
});

function isAllowed(file: string, target: string): boolean {
  const [from, to] = [roomOf(file), roomOf(target)];
  if (from === to) return true;
  const [outerFrom, outerTo] = [from.split('/')[0]!, to.split('/')[0]!];
  if (outerFrom !== outerTo)
    return (outer[outerFrom] ?? []).some((room) => room === to || room === outerTo || room === target);
  const exception = aside[from];
  if (exception !== undefined) return exception.includes(to);
  const rooms = order[outerFrom] ?? [];
  return rooms.includes(to) && rooms.indexOf(to) < rooms.indexOf(from);
}

/** `charts`, `snapshotter/fuse`, `snapshotter/*` */
function roomOf(path: string): string {
  const [first = '', second = ''] = path.split('/');
  if (order[first] === undefined) return first;
  return second.endsWith('.ts') ? `${first}/*` : `${first}/${second}`;
}

function isTest(file: string): boolean {
  return /\.(test|bench|fuzz)\.ts$/.test(file) || file.includes('/testing/');
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
  for await (const file of glob('{charts,harness,measurements,snapshotter,testkit,workloads}/**/*.ts', { cwd: root })) {
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
