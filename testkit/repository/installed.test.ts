import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { packTree } from '../../snapshotter/convert/testing/source-tree.ts';
import { writeLayoutImage } from '../../snapshotter/images/testing/layout-image.ts';
import { suiteLifetime } from '../lifetime.ts';
import { pseudoRandomBytes } from '../random.ts';
import { openScratch } from '../scratch.ts';

/** The package as npx and a global install have it: below node_modules, where Node strips no types. */

const root = fileURLToPath(new URL('../..', import.meta.url));
const limit = { timeout: 120_000 };
const suite = suiteLifetime();
let scratch: string;
let commands: string;

before(async () => {
  scratch = openScratch(suite, 'installed');
  await execa('npm', ['pack', '--ignore-scripts', '--pack-destination', scratch], { cwd: root, timeout: 60_000 });
  const tarball = readdirSync(scratch).find((name) => name.endsWith('.tgz'))!;
  await execa('tar', ['-xzf', join(scratch, tarball), '-C', scratch]);
  const modules = join(scratch, 'node_modules');
  mkdirSync(modules);
  await execa('mv', [join(scratch, 'package'), join(modules, 'stargz-bench')]);
  const dependencies = join(root, 'node_modules');
  for (const name of readdirSync(dependencies)) {
    if (!['stargz-bench', '@stargz-bench', '.bin', '.cache'].includes(name))
      symlinkSync(join(dependencies, name), join(modules, name));
  }
  commands = join(scratch, 'bin');
  mkdirSync(commands);
  for (const [name, path] of Object.entries(bins())) {
    const program = join(modules, 'stargz-bench', path);
    chmodSync(program, 0o755); // as npm does
    symlinkSync(program, join(commands, name));
  }
}, limit);

function bins(): Readonly<Record<string, string>> {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).bin;
}

const run = (name: string, ...args: string[]) =>
  execa(join(commands, name), args, { cwd: scratch, timeout: 60_000, reject: false, stdin: 'ignore' });

test('every command of the installed package starts', limit, async () => {
  for (const name of Object.keys(bins())) {
    const { exitCode, stdout, stderr } = await run(name, '--help');
    assert.deepEqual([exitCode, stderr], [0, ''], name);
    assert.match(stdout, /--/, name);
  }
});

test('the installed converter converts with threads, and its status is passed on', limit, async () => {
  const content = pseudoRandomBytes(3_000_000, 1);
  await writeLayoutImage(join(scratch, 'source'), [packTree([{ kind: 'file', path: 'a', content }])]);
  const converted = await run('stargz-convert', 'oci:source', 'oci:out:1', '--chunk-size', '64KiB');
  assert.equal(converted.exitCode, 0, converted.stderr);
  const inspected = await run('stargz-inspect', 'oci:out:1', '--verify');
  assert.equal(inspected.exitCode, 0, inspected.stderr);
  assert.match(inspected.stdout, /every digest checked: 1 layers, 47 chunks: 0 wrong/);
  const failed = await run('stargz-convert', 'oci:source');
  assert.deepEqual([failed.exitCode, failed.stdout], [2, '']);
});
