import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { dirname, join, posix, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The directions of docs/architecture.md. A room is a directory; tests and benchmarks may import from anywhere. */

const root = fileURLToPath(new URL('../..', import.meta.url));
const limit = { timeout: 30_000 };

/**
 * Top-level rooms, and the rooms, inner rooms or files of others that each may import. testkit uses the harness's low-level
 * rooms, and the harness's checking programs use testkit.
 */
const outer: Readonly<Record<string, readonly string[]>> = {
  measurements: [],
  workloads: [],
  charts: ['measurements'],
  snapshotter: [],
  testkit: [
    'measurements',
    'snapshotter',
    'harness/host',
    'harness/registry',
    'harness/link',
    'harness/daemon',
    'harness/containerd',
    'harness/images',
  ],
  harness: [
    'measurements',
    'workloads',
    'charts',
    'snapshotter/api',
    'snapshotter/platform',
    'snapshotter/registry',
    'snapshotter/tar',
    'snapshotter/images',
    'snapshotter/convert',
    'snapshotter/inspect',
    'snapshotter/process/node-options.ts',
  ],
};

/** Inner rooms, in order: each may import those above it. `/*` stands for the files directly below the top-level room. */
const order: Readonly<Record<string, readonly string[]>> = {
  snapshotter: [
    'snapshotter/api',
    'snapshotter/platform',
    'snapshotter/registry',
    'snapshotter/tar',
    'snapshotter/estargz',
    'snapshotter/tree',
    'snapshotter/store',
    'snapshotter/config',
    'snapshotter/observability',
    'snapshotter/fuse',
    'snapshotter/erofs',
    'snapshotter/builder',
    'snapshotter/layers',
    'snapshotter/snapshots',
    'snapshotter/service',
    'snapshotter/rehearsal',
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
    'harness/daemon',
    'harness/containerd',
    'harness/docker',
    'harness/images',
    'harness/run',
    'harness/cell',
    'harness/progress',
    'harness/bench',
    'harness/assembly',
    'harness/optimize',
    'harness/programs',
    'harness/*',
  ],
};
/** Rooms outside that order. */
const aside: Readonly<Record<string, readonly string[]>> = {
  'snapshotter/convert': [
    'snapshotter/registry',
    'snapshotter/tar',
    'snapshotter/estargz',
    'snapshotter/tree',
    'snapshotter/images',
  ],
  'snapshotter/inspect': [
    'snapshotter/registry',
    'snapshotter/estargz',
    'snapshotter/tree',
    'snapshotter/images',
    'snapshotter/convert',
  ],
  'snapshotter/images': ['snapshotter/platform', 'snapshotter/registry', 'snapshotter/tar'],
};

/** Programs that any room may start, as a user may: they share nothing with whoever starts them but their command line. */
const programs: ReadonlySet<string> = new Set([
  'snapshotter/main.ts',
  'snapshotter/bench/measure-mount.ts',
  'snapshotter/bench/serve-layer.ts',
]);

interface Import {
  readonly file: string;
  readonly line: number;
  readonly target: string;
  /** `path`: a worker, a child process or a module given by `--import`; anything that names a source file in a string. */
  readonly kind: 'static' | 'dynamic' | 'path';
}

test('rooms import, and start files by path, in one direction only', limit, async () => {
  const wrong = (await productionImports()).filter(({ file, target, kind }) => !isAllowed(file, target, kind));
  assert.deepEqual(wrong.map(describe), []);
});

test('the scan finds the programs that any room may start, and the workers', limit, async () => {
  const started = (await productionImports()).filter(({ kind }) => kind === 'path');
  for (const program of programs)
    assert.ok(
      started.some(({ target }) => target === program),
      `${program} is not started`,
    );
  assert.ok(started.some(({ target }) => target === 'snapshotter/fuse/worker.ts'));
});

/** Programs that check the snapshotter with what the tests use: registries that misbehave, daemons that are killed. */
const checkingPrograms = [
  'harness/programs/hostile/',
  'harness/programs/chaos/',
  'harness/programs/differential/',
  'harness/programs/differential-registries/',
  'harness/programs/fuzz/',
  'harness/programs/record-reads/',
];

test('what is shipped imports nothing that is made for tests', limit, async () => {
  const wrong = (await productionImports()).filter(
    ({ file, target }) => (isTest(target) || (isTestkit(target) && !isTestkit(file))) && !isCheckingProgram(file),
  );
  assert.deepEqual(wrong.map(describe), []);
});

test(
  'only the discovery of micro benchmarks and fuzz targets imports a path that is not written out',
  limit,
  async () => {
    const dynamic: string[] = [];
    for (const file of await sourceFiles()) {
      if (isTest(file) || /^harness\/programs\/(micro|fuzz)\/discover\.ts$/.test(file)) continue;
      if (/\bimport\((?!\s*')/.test(withoutComments(await readFile(join(root, file), 'utf8')))) dynamic.push(file);
    }
    assert.deepEqual(dynamic, []);
  },
);

test('no room imports itself by way of others', limit, async () => {
  const targets = new Map<string, Set<string>>();
  for (const { file, target } of await productionImports()) {
    if (roomOf(file) === roomOf(target)) continue;
    targets.set(roomOf(file), (targets.get(roomOf(file)) ?? new Set()).add(roomOf(target)));
  }
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (room: string, path: readonly string[]) => {
    if (path.includes(room)) cycles.push([...path.slice(path.indexOf(room)), room].join(' -> '));
    else if (!done.has(room)) for (const target of targets.get(room) ?? []) visit(target, [...path, room]);
    done.add(room);
  };
  for (const room of targets.keys()) visit(room, []);
  assert.deepEqual(cycles, []);
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
    "new Worker(new URL('./worker.ts', import.meta.url));",
    "fork(join(import.meta.dirname, '../../harness/link/link-process.ts'), ['--import=snapshotter/main.ts']);",
    "const glob = '**/*.ts'; const absent = './absent.ts';",
  ].join('\n');
  const known = new Set(['snapshotter/fuse/worker.ts', 'harness/link/link-process.ts', 'snapshotter/main.ts']);
  assert.deepEqual(
    scan('snapshotter/fuse/x.ts', text, known).map(({ target, kind }) => [target, kind]),
    [
      ['snapshotter/a.ts', 'static'],
      ['snapshotter/fuse/b.ts', 'static'],
      ['snapshotter/fuse/c.ts', 'static'],
      ['snapshotter/fuse/d.ts', 'static'],
      ['snapshotter/fuse/e.ts', 'dynamic'],
      ['snapshotter/fuse/worker.ts', 'path'],
      ['harness/link/link-process.ts', 'path'],
      ['snapshotter/main.ts', 'path'],
    ],
  );
  assert.equal(isAllowed('snapshotter/fuse/x.ts', 'snapshotter/tree/lookup.ts'), true);
  assert.equal(isAllowed('snapshotter/tree/x.ts', 'snapshotter/fuse/server.ts'), false);
  assert.equal(isAllowed('snapshotter/convert/x.ts', 'snapshotter/store/layer-store.ts'), false);
  assert.equal(isAllowed('harness/x.ts', 'snapshotter/layers/manager.ts'), false);
  assert.equal(isAllowed('harness/x.ts', 'testkit/until.ts'), false);
  assert.equal(isAllowed('harness/programs/hostile/x.ts', 'testkit/until.ts'), true);
  assert.equal(isAllowed('testkit/x.ts', 'harness/containerd/containerd.ts'), true);
  assert.equal(isAllowed('testkit/x.ts', 'harness/cell/sandbox.ts'), false);
  assert.equal(isAllowed('harness/x.ts', 'snapshotter/convert/image.ts'), true);
  assert.equal(isAllowed('charts/x.ts', 'harness/run/row.ts'), false);
  assert.equal(isAllowed('harness/x.ts', 'snapshotter/main.ts', 'path'), true);
  assert.equal(isAllowed('harness/x.ts', 'snapshotter/main.ts'), false);
  assert.equal(isAllowed('snapshotter/tree/x.ts', 'snapshotter/fuse/worker.ts', 'path'), false);
});

function isAllowed(file: string, target: string, kind: Import['kind'] = 'static'): boolean {
  if (kind === 'path' && programs.has(target)) return true;
  const [from, to] = [roomOf(file), roomOf(target)];
  if (from === to) return true;
  const [outerFrom, outerTo] = [from.split('/')[0]!, to.split('/')[0]!];
  if (outerTo === 'testkit') return isCheckingProgram(file);
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

function isCheckingProgram(file: string): boolean {
  return checkingPrograms.some((program) => file.startsWith(program));
}

function isTestkit(file: string): boolean {
  return file.startsWith('testkit/');
}

function isTest(file: string): boolean {
  return /\.(test|bench|fuzz)\.ts$/.test(file) || file.includes('/testing/');
}

async function productionImports(): Promise<Import[]> {
  return (await allImports()).filter(({ file }) => !isTest(file));
}

async function allImports(): Promise<Import[]> {
  const files = await sourceFiles();
  const known = new Set(files);
  const found = await Promise.all(
    files.map(async (file) => scan(file, await readFile(join(root, file), 'utf8'), known)),
  );
  return found.flat();
}

async function sourceFiles(): Promise<string[]> {
  const files: string[] = [];
  for await (const file of glob('{charts,harness,measurements,snapshotter,testkit,workloads}/**/*.ts', { cwd: root })) {
    if (!file.endsWith('.d.ts')) files.push(relative('', file));
  }
  return files.sort();
}

/**
 * Relative imports, static, re-exported or dynamic, then files of `known` that a string names, by a path from the file or
 * from the top of the repository. Text in template literals could fool the first part, and none does.
 */
function scan(file: string, text: string, known: ReadonlySet<string>): Import[] {
  const code = withoutComments(text);
  const lineOf = (match: RegExpExecArray): number => code.slice(0, match.index).split('\n').length;
  const fromHere = (path: string): string => posix.normalize(posix.join(dirname(file), path));
  const pattern = /(?:\bfrom\s+|^\s*import\s+|(\bimport\(\s*))'(\.{1,2}\/[^']+)'/gm;
  const imports = [...code.matchAll(pattern)].map((match): Import => {
    const kind = match[1] === undefined ? 'static' : 'dynamic';
    return { file, line: lineOf(match), target: fromHere(match[2]!), kind };
  });
  const named = [...code.matchAll(/(?<!\bfrom\s+|\bimport\s+|\bimport\(\s*)['"`](?:--import=)?([\w./-]+\.ts)['"`]/g)];
  const paths = named.flatMap((match): Import[] => {
    const target = [fromHere(match[1]!), posix.normalize(match[1]!)].find((path) => known.has(path));
    return target === undefined ? [] : [{ file, line: lineOf(match), target, kind: 'path' }];
  });
  return [...imports, ...paths];
}

function withoutComments(text: string): string {
  return text
    .replaceAll(/^\s*\/\/.*$/gm, '')
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ''));
}

function describe({ file, line, target }: Import): string {
  return `${file}:${line} -> ${target}`;
}
