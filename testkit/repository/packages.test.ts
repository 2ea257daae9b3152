import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** npm's workspaces: the daemon and the converter can be installed without the packages of the harness. */

const root = fileURLToPath(new URL('../..', import.meta.url));
const limit = { timeout: 30_000 };

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

test('what the daemon and the converter import is declared in snapshotter/package.json', limit, async () => {
  const { dependencies } = await readManifest('snapshotter/package.json');
  const imported = await importedPackages('snapshotter/**/*.ts');
  assert.deepEqual([...imported].filter((name) => !(name in dependencies)).sort(), []);
});

test('what harness, charts and workloads import is declared in package.json', limit, async () => {
  const { dependencies } = await readManifest('package.json');
  const imported = await importedPackages('{charts,harness,measurements,workloads}/**/*.ts');
  assert.deepEqual([...imported].filter((name) => !(name in dependencies)).sort(), []);
});

test('both manifests carry one version, and exact versions of their packages', limit, async () => {
  const [outer, inner] = await Promise.all([readManifest('package.json'), readManifest('snapshotter/package.json')]);
  assert.equal(inner.version, outer.version);
  for (const [name, version] of Object.entries({ ...outer.dependencies, ...outer.devDependencies })) {
    assert.match(version, /^\d+\.\d+\.\d+$/, name);
    if (name in inner.dependencies) assert.equal(inner.dependencies[name], version, name);
  }
  for (const [name, version] of Object.entries(inner.dependencies)) assert.match(version, /^\d+\.\d+\.\d+$/, name);
});

async function readManifest(path: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(root, path), 'utf8')) as Manifest;
}

/** Packages that production code imports, types left out: `@scope/name` or `name`, without a path inside them. */
async function importedPackages(pattern: string): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const path of glob(pattern, { cwd: root, exclude: ['**/node_modules/**'] })) {
    if (/\.(test|bench|fuzz)\.ts$|\.d\.ts$/.test(path) || path.includes('/testing/')) continue;
    const text = await readFile(join(root, path), 'utf8');
    const pattern =
      /^(?:import|export) (?!type )[^;]*?from '([^.'][^']*)'|^import '([^.'][^']*)'|\bimport\('([^.'][^']*)'\)/gm;
    for (const match of text.matchAll(pattern)) {
      const specifier = match[1] ?? match[2] ?? match[3]!;
      if (!isBuiltin(specifier)) names.add(specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/'));
    }
  }
  return names;
}
