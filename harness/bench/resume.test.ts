import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse/sync';
import { Interrupted } from '../cli/interrupt.ts';
import { quickCell } from './testing/fake-dependencies.ts';
import { isCell, start } from './testing/start-command.ts';

const limit = { timeout: 60_000 };

/** A run of two blocks of six cells that ends after five. */
async function interruptedRun(t: TestContext, argv: readonly string[] = ['--samples', '2', '--seed', '7']) {
  const controller = new AbortController();
  let count = 0;
  const run = await start(
    t,
    argv,
    async (cell, onPhase, signal) => {
      if (++count > 5) controller.abort(new Interrupted('SIGINT'));
      signal.throwIfAborted();
      return await quickCell(cell, onPhase, signal);
    },
    { signal: controller.signal },
  );
  assert.equal((await run.samples()).length, 5);
  return run;
}

/** Tests also run on a tree with uncommitted changes, from which no run is resumed unasked. */
async function resume(t: TestContext, run: { path: string; outDir: string }, more: readonly string[] = []) {
  const argv = ['--resume', run.path, '--resume-anyway', ...more];
  return await start(t, argv, quickCell, { outDir: run.outDir });
}

async function changeEnvironment(
  path: string,
  change: (environment: { readonly details: object }) => object,
): Promise<void> {
  const environment = JSON.parse(await readFile(join(path, 'environment.json'), 'utf8'));
  await writeFile(join(path, 'environment.json'), JSON.stringify({ ...environment, ...change(environment) }));
}

test('a resumed run measures what was lacking, in the order of its plan, and says so', limit, async (t) => {
  const whole = await start(t, ['--samples', '2', '--seed', '7'], quickCell);
  const cut = await interruptedRun(t);
  const resumed = await resume(t, cut);
  assert.equal(resumed.exitCode, 0, resumed.stderr);
  assert.match(resumed.stderr, /seed 7, resumed after 5 cells, /);
  assert.match(resumed.stderr, /\[ 6\/12\] .*\n.*\[ 7\/12\] /);
  const order = (rows: readonly Record<string, string>[]) => rows.map((row) => [row.order, row.workload, row.mode]);
  assert.deepEqual(order(await resumed.samples()), order(await whole.samples()));
  assert.deepEqual(
    cut.dependencies.calls.filter(isCell).slice(0, 5).concat(resumed.dependencies.calls.filter(isCell)),
    [...whole.dependencies.calls.filter(isCell)],
  );
  const environment = JSON.parse(await resumed.read('environment.json'));
  assert.equal(environment.status, 'complete');
  assert.equal(environment.command, 'npm run bench -- --samples 2 --seed 7');
  assert.equal(environment.details.sampleCount, 12);
  assert.equal(environment.details.resumed.length, 1);
  assert.match(await resumed.read('summary.txt'), /2 samples each/);
});

test('a run that drew its seed is resumed with that seed', limit, async (t) => {
  const cut = await interruptedRun(t, ['--samples', '2']);
  const resumed = await resume(t, cut);
  const rows = await resumed.samples();
  assert.deepEqual(
    rows.map(({ order }) => order),
    rows.map((_, index) => String(index + 1)),
  );
  const cells = rows.map(({ workload, mode, sample }) => `${workload} ${mode} ${sample}`);
  assert.equal(new Set(cells).size, 12);
});

test('a run that was killed left whole rows, and is completed', limit, async (t) => {
  const outDir = await mkdtemp(join(tmpdir(), 'stargz-bench-killed-'));
  const program = fileURLToPath(new URL('testing/killed-run.ts', import.meta.url));
  const child = spawn(process.execPath, [program, outDir], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  // Somewhere within the next rows.
  await sleep(Math.random() * 30);
  child.kill('SIGKILL');
  assert.deepEqual(await ended, [null, 'SIGKILL']);
  const path = join(outDir, 'bench', (await readdir(join(outDir, 'bench')))[0]!);
  const before = await readFile(join(path, 'samples.csv'), 'utf8');
  assert.ok(before.endsWith('\n'));
  const rows = parse(before, { columns: true }) as Record<string, string>[];
  assert.ok(
    rows.length >= 9 && rows.length < 1200 && rows.every((row) => row.started_at !== ''),
    `${rows.length} rows`,
  );
  assert.equal(JSON.parse(await readFile(join(path, 'environment.json'), 'utf8')).status, 'running');

  const resumed = await resume(t, { path, outDir });
  assert.equal(resumed.exitCode, 0, resumed.stderr);
  assert.ok((await resumed.read('samples.csv')).startsWith(before));
  const cells = (await resumed.samples()).map(({ workload, mode, sample }) => `${workload} ${mode} ${sample}`);
  assert.equal(cells.length, 1200);
  assert.equal(new Set(cells).size, 1200);
});

test('part of a row, as a power failure leaves it, is measured again', limit, async (t) => {
  const cut = await interruptedRun(t);
  const text = await cut.read('samples.csv');
  await writeFile(join(cut.path, 'samples.csv'), text.slice(0, -20));
  const resumed = await resume(t, cut);
  assert.equal(resumed.exitCode, 0, resumed.stderr);
  assert.match(resumed.stderr, /resumed after 4 cells/);
  assert.equal((await resumed.samples()).length, 12);
});

test('another commit, machine, mode or image is refused in one line, unless it is told to go on', limit, async (t) => {
  const cut = await interruptedRun(t);
  const commit = '0123456789abcdef0123456789abcdef01234567';
  await changeEnvironment(cut.path, ({ details }) => ({
    ...{ commit, dirty: false, machine: { kernel: 'an older kernel' } },
    details: { ...details, images: { python: 'another digest' } },
  }));
  const before = await cut.read('samples.csv');
  const refused = await start(t, ['--resume', cut.path], quickCell, { outDir: cut.outDir });
  assert.equal(refused.exitCode, 1);
  assert.match(
    refused.stderr,
    /^stargz-bench: cannot resume \S+: (commit \w+|no commit) instead of commit 0123456, another kernel; go back .* --resume-anyway$/m,
  );
  assert.deepEqual(refused.dependencies.calls.filter(isCell), []);
  assert.equal(await cut.read('samples.csv'), before);
  const told = await resume(t, cut);
  assert.equal(told.exitCode, 0, told.stderr);
  assert.match(told.stderr, /warning: resumed with other images: earlier and later samples may not compare/);
  assert.equal(JSON.parse(await told.read('environment.json')).dirty, true);
});

test('other options are refused, and so is what is no run of bench', limit, async (t) => {
  const cut = await interruptedRun(t);
  const more = await start(t, ['--resume', cut.path, '--samples', '9'], quickCell, { outDir: cut.outDir });
  assert.equal(more.exitCode, 2);
  assert.match(more.stderr, /--resume takes the options of the run; leave out --samples/);
  await changeEnvironment(cut.path, () => ({ program: 'bench:pull' }));
  const other = await start(t, ['--resume', cut.path], quickCell, { outDir: cut.outDir });
  assert.match(other.stderr, /cannot resume \S+: it does not record what a run of bench was asked for/);
  const absent = await start(t, ['--resume', join(cut.outDir, 'none')], quickCell, { outDir: cut.outDir });
  assert.match(absent.stderr, /^stargz-bench: cannot read \S+\/none\/environment\.json \(ENOENT\)/);
});

test('a complete run has nothing to resume', limit, async (t) => {
  const whole = await start(t, ['--samples', '1'], quickCell);
  const again = await resume(t, whole);
  assert.equal(again.exitCode, 0);
  assert.match(again.stdout, /^complete: \S+ has all of its 6 cells\n$/);
  assert.deepEqual(again.dependencies.calls, []);
});
