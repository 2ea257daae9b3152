import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const root = fileURLToPath(new URL('../..', import.meta.url));
const limit = { timeout: 120_000 };

/** The npm scripts that go through runProgram. */
async function programs(): Promise<[name: string, file: string][]> {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  return Object.entries(scripts).flatMap(([name, command]): [string, string][] => {
    const file = /^node (harness\/programs\/.+\/cli\.ts)$/.exec(command)?.[1];
    return file === undefined ? [] : [[name, file]];
  });
}

function run(file: string, ...args: string[]) {
  // What the programs share is compiled once.
  const env = { NODE_COMPILE_CACHE: join(tmpdir(), 'stargz-bench-compile-cache') };
  return execa(process.execPath, [join(root, file), ...args], { reject: false, timeout: 60_000, stdin: 'ignore', env });
}

/** They take more than options: runs, a command, a step. */
const withArguments = ['actions', 'compare', 'images', 'merge'];

test('every program has a --help, and rejects an unknown option or argument in one line', limit, async () => {
  const found = await programs();
  const files: string[] = [];
  for await (const file of glob('harness/programs/*/cli.ts', { cwd: root })) files.push(file);
  assert.deepEqual(found.map(([, file]) => file).sort(), files.sort(), 'each program has an npm script');
  for (const [name, file] of found) {
    const [help, wrong, more] = await Promise.all([run(file, '--help'), run(file, '--bogus'), run(file, 'more')]);
    assert.equal(help.exitCode, 0, name);
    assert.ok(help.stdout.includes(`npm run ${name} -- `), `${name}: ${help.stdout}`);
    assert.equal(wrong.exitCode, 2, name);
    if (withArguments.includes(name)) {
      for (const { stderr } of [wrong, more]) assert.match(stderr, new RegExp(`^${name}: [^\n]+$`));
      continue;
    }
    assert.ok(help.stdout.includes(`npm run ${name} -- [options]`), `${name}: ${help.stdout}`);
    assert.ok(wrong.stderr.startsWith(`${name}: unknown option '--bogus'; options: --`), wrong.stderr);
    assert.equal(wrong.stderr.split('\n').length, 1, wrong.stderr);
    assert.equal(`${more.exitCode} ${more.stderr}`.split(';')[0], `2 ${name}: unexpected argument 'more'`);
  }
});

test('a value that is not a number is rejected', limit, async () => {
  const { exitCode, stderr } = await run('harness/programs/pull/cli.ts', '--samples', 'abc');
  assert.equal(exitCode, 2);
  assert.match(stderr, /^bench:pull: --samples needs a whole number from 1 to 1000, not 'abc'/);
});
