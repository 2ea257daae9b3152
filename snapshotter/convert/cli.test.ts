import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { formatLocation } from '../images/location.ts';
import { parseConvertArguments } from './arguments.ts';
import { formatReference } from '../registry/reference.ts';
import { parseProfileArguments } from './profile-arguments.ts';
import { run } from './testing/command.ts';

test('parses arguments, including sizes with units', { timeout: 5_000 }, () => {
  const parsed = parseConvertArguments([
    'debian',
    'localhost:5000/d:esgz',
    ...['--level', '9', '--chunk-size', '64KiB', '--min-chunk-size=8192', '--cache-dir', '/c', '--all-platforms'],
  ]);
  assert.equal(parsed && formatLocation(parsed.source), 'docker.io/library/debian:latest');
  assert.equal(parsed?.format, 'estargz');
  assert.deepEqual(
    [parsed?.level, parsed?.chunkSizeBytes, parsed?.minChunkSizeBytes, parsed?.cacheDir, parsed?.allPlatforms],
    [9, 65_536, 8192, '/c', true],
  );
  assert.equal(parseConvertArguments(['--help']), undefined);
});

test('each invalid argument is reported in one line', { timeout: 5_000 }, () => {
  const cases: [string[], RegExp][] = [
    [[], /expected SOURCE and TARGET, got 0/],
    [['a', 'b', 'c'], /got 3/],
    [['a', 'b', '--format', 'squashfs'], /unknown format "squashfs": one of stargz, estargz, zstd-chunked/],
    [['a', 'b', '--frobnicate'], /--frobnicate/],
    [['a', 'b', '--level', 'best'], /--level "best" is not a number/],
    [['a', 'b', '--level', '12'], /give 1 to 9/],
    [['a', 'b', '--chunk-size', '4 parsecs'], /--chunk-size "4 parsecs" is not a size/],
    [['a', 'b', '--chunk-size', '1k'], /out of range/],
    [['a', 'b', '--platform', 'linux'], /not OS\/ARCH/],
    [['a', 'b', '--platform', 'linux/arm64', '--all-platforms'], /exclude each other/],
    [['a', 'b', '--format', 'stargz', '--record-in', 'f'], /--record-in is for estargz/],
    [['a', `b@sha256:${'0'.repeat(64)}`], /a target has a digest/],
    [['A B', 'b'], /A B/],
  ];
  for (const [argv, message] of cases) {
    assert.throws(() => parseConvertArguments(argv), { message }, argv.join(' '));
    assert.throws(() => parseConvertArguments(argv), { message: /^[^\n]+$/ }, argv.join(' '));
  }
});

test('with --profile-only, what has no meaning there is refused', { timeout: 5_000 }, () => {
  const parsed = parseProfileArguments(['--profile-only', 'debian', '--record-in', 'f', '--platform', 'linux/arm64']);
  assert.deepEqual(
    [formatReference(parsed.image), parsed.recordPath, parsed.platform?.architecture],
    ['docker.io/library/debian:latest', 'f', 'arm64'],
  );
  const cases: [string[], RegExp][] = [
    [[], /takes one IMAGE, got 0/],
    [['a', 'b', '--record-in', 'f'], /takes one IMAGE, got 2/],
    [['a'], /needs --record-in/],
    [['oci:a', '--record-in', 'f'], /in a registry/],
    [['a', '--record-in', 'f', '--format', 'stargz'], /with --profile-only: .*--format/],
    [['a', '--record-in', 'f', '--cache-dir', 'c'], /--cache-dir/],
  ];
  for (const [argv, message] of cases) {
    assert.throws(() => parseProfileArguments(['--profile-only', ...argv]), { message, code: 'invalid-option' });
  }
});

test('SIGINT ends the command with status 130 and one line', { timeout: 30_000 }, async () => {
  const silent = createServer();
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as { port: number };
  try {
    const asked = once(silent, 'connection');
    const outcome = await run([`127.0.0.1:${port}/a:1`, `127.0.0.1:${port}/b:1`], { interruptOn: asked });
    assert.deepEqual([outcome.status, outcome.stderr], [130, 'convert: interrupted; nothing was tagged\n']);
  } finally {
    silent.close();
  }
});
