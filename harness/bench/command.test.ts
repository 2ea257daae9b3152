import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'csv-parse/sync';
import { realDependencies } from '../assembly/dependencies.ts';
import { HarnessError } from '../cli/error.ts';
import type { ExitCode } from '../cli/failure.ts';
import { Interrupted } from '../cli/interrupt.ts';
import { sampleColumns } from '../../measurements/sample.ts';
import { columnName } from '../../measurements/table.ts';
import { type FakeCell, fakeOutcome, quickCell } from './testing/fake-dependencies.ts';
import { isCell, start } from './testing/start-command.ts';

const limit = { timeout: 30_000 };

test('a run writes a row per cell, a summary and the environment, and shows a table', limit, async (t) => {
  const run = await start(t, ['--samples', '2', '--seed', '7'], quickCell);
  assert.equal(run.exitCode, 0, run.stderr);
  assert.deepEqual(run.dependencies.calls.slice(0, 3), ['preflight', 'packages', 'open']);
  assert.deepEqual(run.dependencies.calls.slice(-3), ['close', 'charts', 'close']);
  const rows = await run.samples();
  assert.equal(rows.length, 2 * 3 * 2);
  assert.deepEqual(Object.keys(rows[0]!), Object.keys(sampleColumns).map(columnName));
  assert.deepEqual(
    rows.map((row) => row.order),
    rows.map((_, index) => String(index + 1)),
  );
  const { run_id, total_ms, ok, error, mode, daemon_rss_peak_kib } = rows[0]!;
  assert.equal(run_id, run.runId);
  assert.equal(ok, 'true');
  assert.equal(error, '');
  assert.equal(daemon_rss_peak_kib, '', 'a missing value is an empty cell');
  assert.equal(total_ms, mode === 'legacy' ? '4100' : mode === 'stargz' ? '2100' : '1100');
  const summary = parse(await run.read('summary.csv'), { columns: true }) as Record<string, string>[];
  const all = summary.find((row) => row.workload === 'all' && row.mode === 'estargz');
  assert.equal(all?.speedup, '3.727');
  assert.equal(all?.verdict, 'too few samples');
  const shares = (mode: string) =>
    summary.filter((row) => row.mode === mode).map((row) => row.pull_share_median_percent);
  assert.deepEqual(shares('legacy'), Array(3).fill('1.951'), 'each workload, and the median of all');
  assert.equal(all?.image_share_median_percent, '16.667');
  const environment = JSON.parse(await run.read('environment.json'));
  assert.equal(environment.status, 'complete');
  assert.equal(environment.seed, 7);
  assert.equal(environment.machine.kernel, 'a kernel');
  assert.equal(environment.details.images.python, 'a digest');
  assert.equal(environment.details.workloads[0].category, 'language');
  assert.equal(environment.program, 'bench');
  assert.equal(environment.command, 'npm run bench -- --samples 2 --seed 7');
  assert.match(run.stdout, /^results +\S+, (commit [0-9a-f]{7}|no commit)/m);
  assert.deepEqual(environment.warnings, ['something else is busy']);
  assert.match(run.stderr, /warning: something else is busy/);
  assert.ok(run.stdout.includes(await run.read('summary.txt')), run.stdout);
  assert.match(run.stdout, /estargz +0\.08 +0\.02 +1\.00 +1\.10 +10\.0 +3\.7×/);
  assert.match(run.stdout, /\nworkload +pull \(legacy\) +stargz +estargz\n─+\npython +2\.0 % +33 % +17 %\n/);
  assert.match(run.stdout, /\nmedian +2\.0 % +33 % +17 %\n/);
  for (const line of run.stdout.split('\n')) assert.ok(line.length <= 80 || line.includes('/'), line);
});

test('the order of the cells depends on the seed only', limit, async (t) => {
  const order = async (seed: string) => (await start(t, ['--seed', seed], quickCell)).dependencies.calls.filter(isCell);
  const first = await order('1');
  assert.deepEqual(await order('1'), first);
  assert.notDeepEqual(await order('2'), first);
});

test('every block of the plan has each workload and mode once', limit, async (t) => {
  const { dependencies } = await start(t, ['--samples', '3'], quickCell);
  const cells = dependencies.calls.filter(isCell);
  for (const sample of [1, 2, 3]) {
    const block = cells.slice((sample - 1) * 6, sample * 6);
    assert.equal(new Set(block).size, 6);
    assert.ok(
      block.every((cell) => cell.endsWith(` ${sample}`)),
      block.join(),
    );
  }
});

test('a failed cell becomes a row with an error and no durations, and the run continues', limit, async (t) => {
  const run = await start(t, ['--samples', '1'], async (cell, onPhase, signal) => {
    if (cell.mode.name === 'stargz') return { ok: false, error: 'layer 3 was\nunpacked', layers: 4, lazyLayers: 3 };
    if (cell.mode.name === 'estargz' && cell.workload.name === 'gcc') throw new Error('the executor broke');
    return await quickCell(cell, onPhase, signal);
  });
  assert.equal(run.exitCode, 1);
  const rows = await run.samples();
  assert.equal(rows.length, 6);
  const failed = rows.filter((row) => row.ok === 'false');
  assert.equal(failed.length, 3);
  for (const row of failed) assert.deepEqual([row.pull_ms, row.create_ms, row.run_ms, row.total_ms], ['', '', '', '']);
  const unpacked = failed.find((row) => row.mode === 'stargz');
  assert.equal(unpacked?.error, 'layer 3 was unpacked');
  assert.equal(unpacked?.lazy_layers, '3');
  assert.ok(failed.some((row) => row.error === 'the executor broke'));
  assert.match(run.stdout, /3 of 6 cells/);
});

test('an interrupt during a cell keeps the finished rows, writes no partial one and cleans up', limit, async (t) => {
  const controller = new AbortController();
  let count = 0;
  const run = await start(
    t,
    ['--samples', '2'],
    async (cell, onPhase, signal) => {
      count++;
      if (count < 4) return await quickCell(cell, onPhase, signal);
      controller.abort(new Interrupted('SIGINT'));
      // What containerd's client throws when containerd is killed.
      throw new Error('connection refused');
    },
    { signal: controller.signal },
  );
  assert.equal(run.exitCode, 130);
  assert.equal((await run.samples()).length, 3);
  assert.match(await run.read('samples.csv'), /\n$/);
  assert.equal(run.dependencies.calls.at(-1), 'close');
  assert.match(run.stderr, /SIGINT: stopping and cleaning up/);
  assert.equal(JSON.parse(await run.read('environment.json')).status, 'interrupted');
  assert.match(run.stdout, /stopped +after 3 cells; go on with npm run bench -- --resume \S+/);
});

test('an interrupt as a cell finishes keeps its row', limit, async (t) => {
  const controller = new AbortController();
  const cell: FakeCell = async (cell) => {
    controller.abort(new Interrupted('SIGTERM'));
    return fakeOutcome(cell.mode.name);
  };
  const run = await start(t, [], cell, { signal: controller.signal });
  assert.equal(run.exitCode, 130);
  assert.equal((await run.samples()).length, 1);
});

test('an interrupt before the first cell leaves no results', limit, async (t) => {
  const controller = new AbortController();
  const run = await start(t, [], quickCell, {
    signal: controller.signal,
    dependencies: {
      ensurePackages: async (_forTests, _reporter, signal) => {
        controller.abort(new Interrupted('SIGINT'));
        signal.throwIfAborted();
      },
    },
  });
  assert.equal(run.exitCode, 130);
  assert.deepEqual(await readdir(run.outDir), []);
  assert.match(run.stderr, /stopped by SIGINT\n$/);
});

test('--mount runs each lazy mode with each mount, under a name that says so', limit, async (t) => {
  const run = await start(t, ['--samples', '1', '--workloads', 'gcc', '--mount', 'erofs,fuse'], quickCell);
  assert.equal(run.exitCode, 0);
  const names = ['legacy', 'stargz/fuse', 'stargz/erofs', 'estargz/fuse', 'estargz/erofs'];
  assert.deepEqual((await run.samples()).map((sample) => sample.mode).sort(), names.toSorted());
  const shown = names.map((name) => run.stdout.indexOf(` ${name} `));
  assert.ok(
    shown.every((at, index) => at > (shown[index - 1] ?? 0)),
    run.stdout,
  );
  const alone = await start(t, ['--samples', '1', '--workloads', 'gcc', '--mount', 'erofs'], quickCell);
  assert.deepEqual((await alone.samples()).map((sample) => sample.mode).sort(), ['estargz', 'legacy', 'stargz']);
});

test('a failed preparation is one line with its remedy and exit code 1, and leaves no results', limit, async (t) => {
  const run = await start(t, [], quickCell, {
    dependencies: {
      openExecutor: async () => {
        throw new HarnessError('image-build', 'cannot build python: apt failed', { remedy: 'check the network' });
      },
    },
  });
  assert.equal(run.exitCode, 1);
  assert.match(run.stderr, /^stargz-bench: cannot build python: apt failed; check the network$/m);
  assert.deepEqual(await readdir(run.outDir), []);
});

test('charts that cannot be drawn do not fail the run', limit, async (t) => {
  const run = await start(t, ['--samples', '1'], quickCell, {
    dependencies: { drawCharts: async () => Promise.reject(new Error('no canvas')) },
  });
  assert.equal(run.exitCode, 0);
  assert.equal((await run.samples()).length, 6);
  assert.match(run.stderr, /no charts: no canvas.*npm run charts/);
});

test('without root, one line says how to run as root', limit, async (t) => {
  const run = await start(t, [], quickCell, { dependencies: { isRoot: false } });
  assert.equal(run.exitCode, 1);
  assert.match(run.stderr, /^stargz-bench: .*needs root; sudo env "PATH=\$PATH" npm run bench\n$/);
  assert.deepEqual(run.dependencies.calls, []);
});

test('two runs do not share a state directory', limit, async (t) => {
  const stateDir = join(tmpdir(), `stargz-bench-shared-${process.pid}`);
  const nested: { exitCode?: ExitCode; stderr?: string } = {};
  await start(t, ['--samples', '1', '--workloads', 'gcc', '--state-dir', stateDir], async (cell, onPhase, signal) => {
    Object.assign(nested, await start(t, ['--state-dir', stateDir], quickCell));
    return await quickCell(cell, onPhase, signal);
  });
  assert.equal(nested.exitCode, 1);
  assert.match(nested.stderr ?? '', /another run is using .*--state-dir\n$/);
});

test('--list names the workloads and modes and needs no root', limit, async (t) => {
  for (const argv of [['--list'], ['list'], ['bench', '--list']]) {
    const run = await start(t, argv, quickCell, { dependencies: { isRoot: false } });
    assert.equal(run.exitCode, 0);
    assert.match(run.stdout, /^Workloads, @language\n {2}python +a one-liner\n {2}gcc/);
    assert.match(run.stdout, /\nWorkloads, @ai\n {2}numpy .*\n\nBy default python, gcc \(@default\)\n/);
    assert.match(run.stdout, /Modes\n {2}legacy/);
  }
});

test('--help fits 80 columns and names every option', limit, async (t) => {
  const run = await start(t, ['--help'], quickCell);
  assert.equal(run.exitCode, 0);
  for (const line of run.stdout.split('\n')) assert.ok(line.length <= 80, line);
  for (const option of [
    'workloads',
    'modes',
    'samples',
    'base',
    'until',
    'budget',
    'shard',
    'slow-start',
    'loss',
    'resume',
    'resume-anyway',
    'seed',
    'rtt',
    'bandwidth',
    'out',
    'state-dir',
    'list',
    'dry-run',
    'image',
    'ready-line',
  ]) {
    assert.ok(run.stdout.includes(`--${option}`), option);
  }
});

test('--dry-run prints the plan and what would be installed, and changes nothing', limit, async (t) => {
  const argv = ['--dry-run', '--seed', '1', '--samples', '1', '--rtt', '0', '--bandwidth', 'unlimited'];
  const run = await start(t, argv, quickCell, { dependencies: { isRoot: false } });
  assert.equal(run.exitCode, 0);
  assert.match(run.stdout, /would install runc buildah/);
  assert.match(run.stdout, /0 ms RTT, unlimited/);
  assert.match(run.stdout, /cells +6, in this order:\n {5}1 {2}/);
  assert.deepEqual(run.dependencies.calls, []);
  assert.deepEqual(await readdir(run.outDir), []);
});

test('install installs what is missing, and with --dry-run only lists it', limit, async (t) => {
  const dry = await start(t, ['install', '--dry-run'], quickCell);
  assert.equal(dry.stdout, 'would install: runc buildah\n');
  assert.deepEqual(dry.dependencies.calls, []);
  const done = await start(t, ['install', '--for-tests'], quickCell);
  assert.equal(done.stdout, 'installed: runc buildah\n');
  const idle = await start(t, ['install'], quickCell, { dependencies: { missingPackages: async () => [] } });
  assert.equal(idle.stdout, 'nothing to install\n');
  assert.deepEqual(idle.dependencies.calls, []);
});

const wrongUsage: [string[], RegExp][] = [
  [['--workloads', 'ruby'], /unknown workload 'ruby'; workloads: python, gcc, numpy/],
  [['--mount', 'fuse,nfs'], /unknown mount 'nfs'; mounts: fuse, erofs/],
  [['--modes', 'legacy,turbo'], /unknown mode 'turbo'; modes: legacy, stargz, estargz/],
  [['--workloads', ''], /--workloads needs names separated by commas/],
  [
    ['--sampels', '3'],
    /unknown option '--sampels'; options: --workloads, --modes, --peers, --mount, --base, --samples/,
  ],
  [['-x'], /unknown option '-x'/],
  [['--samples', '0'], /--samples needs a whole number from 1 to 1000, not '0'/],
  [['--samples', '1e3'], /--samples needs a whole number/],
  [['--samples'], /--samples needs a value/],
  [['--seed=-1'], /--seed needs a whole number from 0 to 4294967295, not '-1'/],
  [['--ready-port', '80'], /--ready-port is for an image of your own: name it with --image/],
  [['--mount', '/tmp:/x'], /--mount is for an image of your own/],
  [['--image', 'docker-daemon:'], /it names no image: write docker-daemon:NAME/],
  [['--image', 'app', '--command', "sh -c '"], /--command has ' without its end/],
  [['--seed', '-1'], /--seed needs a value/],
  [['--rtt', '30'], /--rtt needs a time like 0, 30ms or 0\.1s, at most 10s, not '30'/],
  [['--rtt', '11s'], /--rtt needs a time/],
  [['--bandwidth', '200'], /--bandwidth needs a rate like .*, not '200'/],
  [['--bandwidth', '0mbit'], /--bandwidth needs a rate/],
  [['--rtt', '30ms,'], /--rtt needs a time like 0, 30ms or 0\.1s, at most 10s, not ''/],
  [['--until', '5'], /--until needs a percentage like 5%, at most 1000%, not '5'/],
  [['--loss', '11%'], /--loss needs a percentage like 5%, at most 10%, not '11%'/],
  [['--budget', '30'], /--budget needs a time like 90s, 30m or 2h, not '30'/],
  [['--shard', '4/3', '--seed', '1'], /--shard needs a part of a whole like 1\/3, not '4\/3'/],
  [['--shard', '1/3'], /--shard needs --seed/],
  [['--shard', '1/3', '--seed', '1', '--until', '5%'], /--shard needs a fixed number of --samples/],
  [['--resume-anyway'], /--resume-anyway needs --resume DIR/],
  [['--list=yes'], /--list takes no value/],
  [['--out', ''], /--out needs a directory/],
  [['fly'], /unknown command 'fly'; commands: bench, install, list/],
  [['bench', 'python'], /unexpected argument 'python'/],
];
for (const [argv, expected] of wrongUsage) {
  test(`wrong usage is one line and exit code 2: ${argv.join(' ')}`, limit, async (t) => {
    const run = await start(t, argv, quickCell, { bare: true });
    assert.equal(run.exitCode, 2);
    assert.match(run.stderr, expected);
    assert.match(run.stderr, /^stargz-bench: [^\n]+\n$/);
    assert.equal(run.stdout, '');
    assert.deepEqual(run.dependencies.calls, []);
  });
}

test('a peers file that cannot be used is one line and exit code 2, before anything else', limit, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'stargz-bench-peers-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'peers.toml');
  await writeFile(path, '[peer.mine]\ncommand = ["daemon", "{socket}"]\nvariants = ["estargz"]\nprefech = true\n');
  const dependencies = { readModes: realDependencies.readModes };
  const bad = await start(t, ['--peers', path], quickCell, { dependencies });
  assert.equal(bad.exitCode, 2);
  assert.match(bad.stderr, /^stargz-bench: .*peers\.toml: peer\.mine: unknown key 'prefech'; keys: [^\n]+\n$/);
  assert.deepEqual(bad.dependencies.calls, []);
  await writeFile(path, '[peer.mine]\ncommand = ["daemon", "{socket}"]\nvariants = ["estargz"]\n');
  const argv = ['--peers', path, '--modes', 'mine:estargz+again,legacy', '--workloads', 'gcc', '--samples', '1'];
  const run = await start(t, argv, quickCell, { dependencies });
  assert.deepEqual((await run.samples()).map(({ mode }) => mode).sort(), ['legacy', 'mine:estargz+again']);
  const { details } = JSON.parse(await run.read('environment.json'));
  assert.deepEqual(details.modes[1].peer.command, ['{program}', '{socket}']);
  assert.equal(details.modes[1].daemonState, 'again');
});
