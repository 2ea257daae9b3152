/** `bench --timeline` from an image in a layout to the rows of timeline.csv. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { parseSamples } from '../../measurements/sample.ts';
import { stringifyTable } from '../../measurements/table.ts';
import { readTimeline, type TimelineEvent, timelineColumns } from '../../measurements/timeline.ts';
import { writeLayoutImage } from '../../snapshotter/images/testing/layout-image.ts';
import { mountsUnder } from '../../snapshotter/platform/mountinfo.ts';
import { encodeFile } from '../../snapshotter/tar/tar-header.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { runCommand } from '../bench/command.ts';
import { findProcessesNaming } from '../host/processes.ts';
import { realDependencies } from './dependencies.ts';

const limit = { timeout: 240_000 };
const suite = suiteLifetime();
const modes = ['legacy', 'estargz', 'estargz-noopt'];

test(
  'a traced start has its phases, its requests with the bytes of the link, and what its reads waited for',
  limit,
  async () => {
    const scratch = openScratch(suite, 'timeline');
    const image = join(scratch, 'image');
    const root = join(scratch, 'root');
    mkdirSync(join(root, 'bin'), { recursive: true });
    copyFileSync('/bin/busybox', join(root, 'bin', 'busybox'));
    const { stdout: shell } = await execa('tar', ['-C', root, '-c', '.'], { encoding: 'buffer' });
    const data = encodeFile('srv/data', pseudoRandomBytes(9_000_000, 3));
    await writeLayoutImage(image, [Buffer.from(shell), data], {
      configuration: { config: { Entrypoint: ['/bin/busybox'] } },
    });
    const state = join(scratch, 'state');
    const places = ['--state-dir', state, '--out', join(scratch, 'out')];
    const argv = [
      ...['--image', `oci:${image}`, '--command', 'dd if=/srv/data of=/dev/null bs=4096 skip=1000 count=1'],
      ...['--modes', modes.join(','), '--samples', '1', '--rtt', '4ms', '--bandwidth', '400mbit', '--timeline'],
      ...places,
    ];
    await bench(argv);
    const [runId = ''] = readdirSync(join(scratch, 'out', 'bench'));
    const directory = join(scratch, 'out', 'bench', runId);
    const samples = parseSamples(readFileSync(join(directory, 'samples.csv'), 'utf8'), 'samples.csv');
    assert.equal(samples.length, modes.length, 'a traced start is no sample');
    const events = await readTimeline(directory);
    if (process.env.SHOW) console.log(readFileSync(join(directory, 'timeline.csv'), 'utf8'), directory);
    assert.deepEqual([...new Set(events.map(({ mode }) => mode))], modes);
    for (const mode of modes) {
      const own = events.filter((event) => event.mode === mode);
      checkStart(own);
      const measured = samples.find((sample) => sample.mode === mode)!;
      const whats = own.filter(({ kind }) => kind === 'request').map(({ what }) => what);
      assert.ok(whats.includes('manifest') && whats.includes('config'), whats.join(' '));
      assert.equal(whats.includes('layer'), mode === 'legacy', whats.join(' '));
      assert.equal(whats.includes('toc'), mode !== 'legacy', whats.join(' '));
      assert.ok(!whats.includes('range') && !whats.includes('other'), whats.join(' '));
      const misses = own.filter(({ kind }) => kind === 'miss');
      if (mode === 'legacy') {
        assert.equal(whats.length, measured.wireRequests, 'the same requests as in a sample');
        assert.deepEqual(misses, []);
      }
      if (mode === 'estargz-noopt') {
        assert.ok(whats.includes('demand'), whats.join(' '));
        assert.ok(
          misses.some(({ path }) => path === '/srv/data'),
          'the read that the command makes',
        );
      }
      if (mode === 'estargz') assert.ok(whats.includes('prefetch'), whats.join(' '));
    }
    const pictures = ['timeline.svg', 'timeline.png', 'timeline-dark.svg', 'timeline-dark.png'];
    const written = readdirSync(directory);
    assert.deepEqual(
      pictures.filter((name) => !written.includes(name)),
      [],
    );
    // As if one had failed.
    const others = events.filter(({ mode }) => mode !== 'estargz');
    writeFileSync(join(directory, 'timeline.csv'), stringifyTable(timelineColumns, others));
    await bench(['--resume', directory, '--resume-anyway', ...places]);
    const made = (await readTimeline(directory)).slice(others.length);
    assert.deepEqual([...new Set(made.map(({ mode }) => mode))], ['estargz']);
    checkStart(made);
    assert.deepEqual(parseSamples(readFileSync(join(directory, 'samples.csv'), 'utf8'), 'samples.csv'), samples);
    assert.deepEqual(mountsUnder(state), []);
    assert.deepEqual(await findProcessesNaming(state), []);
  },
);

/** Runs the command, which is to succeed. */
async function bench(argv: readonly string[]): Promise<void> {
  const said: string[] = [];
  const output = { columns: 80, isTTY: false, write: (text: string) => void said.push(text) };
  const status = await runCommand(argv, realDependencies, {
    ...{ stdout: output, stderr: output, env: {} },
    ...{ signal: AbortSignal.timeout(limit.timeout), now: () => performance.now() },
  });
  assert.equal(status, 0, said.join(''));
}

/** What holds for every start over a link. */
function checkStart(events: readonly TimelineEvent[]): void {
  const of = (kind: TimelineEvent['kind']) => events.filter((event) => event.kind === kind);
  const phases = of('phase');
  assert.deepEqual(
    phases.map(({ what }) => what),
    ['pull', 'create', 'run'],
  );
  const [ready, ...others] = of('ready');
  assert.deepEqual(others, []);
  const run = phases[2]!;
  assert.ok(ready!.atMs > run.atMs && ready!.atMs <= run.endMs!, `${run.atMs} < ${ready!.atMs} <= ${run.endMs}`);
  const sum = (all: readonly TimelineEvent[]) => all.reduce((bytes, event) => bytes + (event.bytes ?? 0), 0);
  assert.equal(sum(of('request')), ready!.bytes, 'the bytes of the requests are those that the link counted');
  assert.equal(sum(of('bytes')), ready!.bytes, 'and so are those by time');
  assert.ok(ready!.bytes! > 1000);
  for (const { atMs, firstByteMs, endMs } of of('request')) {
    if (firstByteMs === undefined) continue;
    assert.ok(0 <= atMs && atMs + 3.5 <= firstByteMs && firstByteMs <= endMs!, `${atMs}, ${firstByteMs}, ${endMs}`);
  }
  for (const { atMs, endMs } of of('miss')) assert.ok(atMs <= endMs!);
}
