import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readTimeline } from '../../measurements/timeline.ts';
import { Interrupted } from '../cli/interrupt.ts';
import {
  type FakeCell,
  type FakeTrace,
  fakeTrace,
  fakeWorkloads,
  fakeModes,
  quickCell,
} from './testing/fake-dependencies.ts';
import { isCell, start } from './testing/start-command.ts';
import { tracedStarts } from './timeline.ts';

const limit = { timeout: 30_000 };
const isTrace = (call: string) => call.startsWith('trace ');

test('--timeline traces each start once after the samples, and changes nothing of them', limit, async (t) => {
  const argv = ['--samples', '2', '--seed', '7'];
  const run = await start(t, [...argv, '--timeline'], quickCell);
  assert.equal(run.exitCode, 0, run.stderr);
  const without = await start(t, argv, quickCell);
  const calls = run.dependencies.calls.filter((call) => isCell(call) || isTrace(call));
  assert.deepEqual(calls.slice(0, 12), without.dependencies.calls.filter(isCell));
  const starts = ['python', 'gcc'].flatMap((workload) =>
    ['legacy', 'stargz', 'estargz'].map((mode) => `${workload} ${mode}`),
  );
  assert.deepEqual(
    calls.slice(12),
    starts.map((name) => `trace ${name}`),
  );
  assert.equal((await run.samples()).length, 12);
  assert.equal(await run.read('summary.txt'), await without.read('summary.txt'));
  const events = await readTimeline(run.path);
  assert.deepEqual(
    events.filter(({ kind }) => kind === 'ready').map(({ workload, mode, atMs }) => `${workload} ${mode} ${atMs}`),
    starts.map((name) => `${name} 1000`),
  );
  const { runId, rttMs, bandwidthMbps, tcp } = events[0]!;
  assert.deepEqual([runId, rttMs, bandwidthMbps, tcp], [run.runId, 30, 200, undefined]);
  assert.equal(JSON.parse(await run.read('environment.json')).details.tracedStarts, 6);
  await assert.rejects(without.read('timeline.csv'), { code: 'ENOENT' });
  assert.deepEqual(await readTimeline(without.path), []);
});

test('a start that cannot be traced is a warning, and the others have their rows', limit, async (t) => {
  const run = await start(t, ['--samples', '1', '--timeline'], quickCell, {}, async (cell, signal) => {
    if (cell.mode.name === 'stargz') throw new Error('not ready within 60 s');
    return await fakeTrace(cell, signal);
  });
  assert.equal(run.exitCode, 0, run.stderr);
  assert.match(run.stderr, /warning: no timeline of gcc stargz over 30 ms RTT, 200 Mbit\/s: not ready within 60 s/);
  assert.deepEqual(new Set((await readTimeline(run.path)).map(({ mode }) => mode)), new Set(['legacy', 'estargz']));
  assert.match(run.stdout, /^timeline 2 starts are not traced; try again with npm run bench -- --resume \S+$/m);
});

const tracedModes = (events: readonly { readonly mode: string; readonly kind: string }[]) =>
  events.filter(({ kind }) => kind === 'ready').map(({ mode }) => mode);

test('--resume traces the starts that failed, measures nothing again, and then has nothing to do', limit, async (t) => {
  const argv = ['--workloads', 'gcc', '--samples', '1', '--seed', '7', '--timeline'];
  const fails: FakeTrace = async (cell, signal) => {
    if (cell.mode.name === 'stargz') throw new Error('not ready within 60 s');
    return await fakeTrace(cell, signal);
  };
  const first = await start(t, argv, quickCell, {}, fails);
  const [before, samples] = [await readTimeline(first.path), await first.read('samples.csv')];
  const resume = (trace?: FakeTrace) =>
    start(t, ['--resume', first.path, '--resume-anyway'], quickCell, { outDir: first.outDir }, trace);
  const again = await resume(fails);
  assert.equal(again.exitCode, 0, again.stderr);
  assert.match(again.stdout, /^timeline 1 start is not traced; try again with/m);
  assert.deepEqual(await readTimeline(first.path), before);
  const resumed = await resume();
  assert.equal(resumed.exitCode, 0, resumed.stderr);
  const calls = resumed.dependencies.calls.filter((call) => isCell(call) || isTrace(call));
  assert.deepEqual(calls, ['trace gcc stargz']);
  assert.equal(await resumed.read('samples.csv'), samples);
  assert.deepEqual(tracedModes(await readTimeline(first.path)), ['legacy', 'estargz', 'stargz']);
  const { status, details } = JSON.parse(await resumed.read('environment.json'));
  assert.deepEqual([status, details.sampleCount, details.tracedStarts], ['complete', 3, 3]);
  const done = await resume();
  assert.match(done.stdout, /^complete: \S+ has all of its 3 cells and 3 traced starts\n$/);
  assert.deepEqual(done.dependencies.calls, []);
});

for (const cause of ['fails', 'is interrupted'] as const) {
  test(`a run that ended by its own rule has no more samples for a trace that ${cause}`, limit, async (t) => {
    // So different that no speed-up is known to 1 %.
    const uneven: FakeCell = async (cell, onPhase, signal) => {
      const outcome = await quickCell(cell, onPhase, signal);
      return outcome.ok ? { ...outcome, runMs: outcome.runMs * (1 + ((cell.sample * 7) % 5)) } : outcome;
    };
    const controller = new AbortController();
    const argv = ['--workloads', 'gcc', '--until', '1%', '--samples', '8', '--seed', '7', '--timeline'];
    const first = await start(t, argv, uneven, { signal: controller.signal }, async () => {
      if (cause === 'is interrupted') controller.abort(new Interrupted('SIGINT'));
      throw new Error('not ready within 60 s');
    });
    assert.equal(first.exitCode, cause === 'fails' ? 0 : 130);
    const ended = /^ended {4}.*$/m.exec(first.stdout)?.[0];
    assert.ok(ended !== undefined, first.stdout);
    // Fewer blocks than there may be, as a budget leaves them.
    const kept = (await first.read('samples.csv')).split('\n').slice(0, 1 + 6 * 3);
    await writeFile(join(first.path, 'samples.csv'), `${kept.join('\n')}\n`);
    const argvAgain = ['--resume', first.path, '--resume-anyway'];
    const resumed = await start(t, argvAgain, uneven, { outDir: first.outDir });
    assert.equal(resumed.exitCode, 0, resumed.stderr);
    assert.deepEqual(resumed.dependencies.calls.filter(isCell), []);
    assert.equal((await resumed.samples()).length, kept.length - 1);
    assert.equal(/^ended {4}.*$/m.exec(resumed.stdout)?.[0], ended);
    assert.deepEqual(tracedModes(await readTimeline(first.path)), ['legacy', 'stargz', 'estargz']);
  });
}

test(
  'a run that is interrupted among its traced starts keeps them, and is resumed with the others',
  limit,
  async (t) => {
    const controller = new AbortController();
    let count = 0;
    const cut = await start(
      t,
      ['--samples', '1', '--seed', '7', '--timeline'],
      quickCell,
      { signal: controller.signal },
      async (cell, signal) => {
        if (++count > 2) controller.abort(new Interrupted('SIGINT'));
        signal.throwIfAborted();
        return await fakeTrace(cell, signal);
      },
    );
    assert.equal(cut.exitCode, 130);
    assert.match(cut.stdout, /go on with npm run bench -- --resume/);
    assert.equal(JSON.parse(await cut.read('environment.json')).status, 'interrupted');
    const before = await readTimeline(cut.path);
    const argv = ['--resume', cut.path, '--resume-anyway'];
    const resumed = await start(t, argv, quickCell, { outDir: cut.outDir });
    assert.equal(resumed.exitCode, 0, resumed.stderr);
    const calls = resumed.dependencies.calls.filter((call) => isCell(call) || isTrace(call));
    assert.deepEqual(
      calls,
      ['python estargz', 'gcc legacy', 'gcc stargz', 'gcc estargz'].map((name) => `trace ${name}`),
    );
    const events = await readTimeline(resumed.path);
    assert.deepEqual(events.slice(0, before.length), before);
    assert.equal(events.filter(({ kind }) => kind === 'ready').length, 6);
  },
);

test('the shards of a plan trace each start once together, all modes of a workload in one', () => {
  const links = [
    { rttMs: 0, bandwidthMbps: 100 },
    { rttMs: 30, bandwidthMbps: 100 },
  ];
  const selection = { workloads: fakeWorkloads, modes: fakeModes, links };
  const name = ({ workload, mode, link }: ReturnType<typeof tracedStarts>[number]) =>
    `${workload.name} ${mode.name} ${link?.rttMs}`;
  const shards = [1, 2, 3, 4].map((index) => tracedStarts(selection, { index, count: 4 }));
  assert.deepEqual(shards.flat().map(name).sort(), tracedStarts(selection).map(name).sort());
  const modesOf = (starts: (typeof shards)[number]) => new Set(starts.map(({ mode }) => mode.name)).size;
  assert.deepEqual(shards.map(modesOf), [3, 3, 3, 3]);
});

test('the plan names them', limit, async (t) => {
  const { stdout } = await start(t, ['--dry-run', '--timeline'], quickCell);
  assert.match(stdout, /^timeline +6 traced starts after the cells$/m);
});
