import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { readEnvironment } from '../../measurements/environment.ts';
import { readSamples } from '../../measurements/sample.ts';
import { writeLayoutImage } from '../../snapshotter/images/testing/layout-image.ts';
import { encodeEntryHeader, emptyFile, encodeFile } from '../../snapshotter/tar/tar-header.ts';
import { undoAfter } from '../../testkit/lifetime.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { clearSandbox, openSandbox } from '../cell/sandbox.ts';

const timeout = 110_000;
const root = fileURLToPath(new URL('../..', import.meta.url));

test('a cell over a link with slow start and loss is measured, and everything says so', { timeout }, async (t) => {
  const scratch = openScratch(t, 'slow-link');
  const stateDir = join(scratch, 'state');
  undoAfter(t, () => clearSandbox(openSandbox(stateDir)));
  const busybox = readFileSync('/bin/busybox');
  const header = encodeEntryHeader({ ...emptyFile, name: 'bin/echo', mode: 0o755, sizeBytes: busybox.length });
  const padding = Buffer.alloc(-busybox.length & 511);
  const layer = Buffer.concat([header, busybox, padding, encodeFile('etc/motd', Buffer.from('hello\n'))]);
  const configuration = { config: { Cmd: ['/bin/echo', 'hello'] } };
  await writeLayoutImage(join(scratch, 'echo'), [layer], { configuration });

  const args = [
    ...['--image', `oci:${scratch}/echo`, '--ready-exit', '--modes', 'legacy,estargz', '--samples', '1'],
    ...['--rtt', '5ms', '--bandwidth', '500mbit', '--slow-start', '--loss', '0.1%'],
    ...['--state-dir', stateDir, '--out', join(scratch, 'out')],
  ];
  const run = await execa(process.execPath, ['harness/main.ts', 'bench', ...args], {
    ...{ cwd: root, env: { NO_COLOR: '1' }, reject: false, stdin: 'ignore', timeout },
  });
  assert.equal(run.exitCode, 0, run.stderr);
  const directory = join(scratch, 'out/bench', readdirSync(join(scratch, 'out/bench'))[0]!);
  const link = '5 ms RTT, 500 Mbit/s, slow start, 0.1 % loss';
  const samples = await readSamples(directory);
  assert.deepEqual(samples.map(({ mode, ok }) => [mode, ok]).sort(), [
    ['estargz', true],
    ['legacy', true],
  ]);
  for (const { rttMs, bandwidthMbps, tcp, wireBytes } of samples) {
    assert.deepEqual([rttMs, bandwidthMbps, tcp], [5, 500, 'slow start, 0.1 % loss']);
    assert.ok(wireBytes! > 100_000, `${wireBytes} bytes crossed the link`);
  }
  assert.deepEqual((await readEnvironment(directory)).link, {
    rttMs: 5,
    bandwidthMbps: 500,
    tcp: { lossShare: 0.001 },
  });
  for (const name of ['summary.txt', 'verdict.txt', 'report.html', 'phases.svg']) {
    assert.ok((await readFile(join(directory, name), 'utf8')).includes(link), `${name} says which link it was`);
  }
});
