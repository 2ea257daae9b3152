import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { discoverBenches } from './discover.ts';
import { measureFile } from './measure.ts';
import { renderMicroTable } from './table.ts';

const limit = { timeout: 30_000 };

test('benchmark files that export register are found and run, and scripts are not', limit, async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'stargz-bench-micro-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  await mkdir(join(root, 'snapshotter/a/b'), { recursive: true });
  await writeFile(
    join(root, 'snapshotter/a/b/one.bench.ts'),
    `export function register(bench: { add(name: string, run: () => void): void }) {
       bench.add('adds', () => { globalThis.addCount = (globalThis.addCount ?? 0) + 1; });
       bench.add('breaks', () => { throw new Error('no disk'); });
       bench.add('skipped', () => {});
       return () => { globalThis.tornDown = true; };
     }\n`,
  );
  await writeFile(join(root, 'snapshotter/a/script.bench.ts'), 'throw new Error("a script was run by being found");\n');
  const files = await discoverBenches(root);
  assert.deepEqual(
    files.map((file) => file.path),
    ['snapshotter/a/b/one.bench.ts'],
  );
  const { signal } = new AbortController();
  const results = await measureFile(files[0]!, { timeMs: 5, filter: 's' }, signal);
  assert.deepEqual(
    results.map((result) => result.task),
    ['adds', 'breaks', 'skipped'],
  );
  assert.ok(results[0]!.sampleCount > 0 && results[0]!.medianUs! >= 0);
  assert.equal(results[1]!.error, 'no disk');
  assert.equal((globalThis as { tornDown?: boolean }).tornDown, true);
  const filtered = await measureFile(files[0]!, { timeMs: 5, filter: 'adds' }, signal);
  assert.deepEqual(
    filtered.map((result) => result.task),
    ['adds'],
  );
  assert.match(renderMicroTable('one', results), /^breaks +failed: no disk$/m);
});
