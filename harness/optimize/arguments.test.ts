import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseOptimizeArguments } from './arguments.ts';

const limit = { timeout: 10_000 };

test('the options of the recording are told from those of the conversion', limit, () => {
  const own = ['--optimize', '--ready-port', '80', '--env=A=-1', '--record-out', 'r.jsonl', '--state-dir', '/s'];
  const converts = [
    'docker-daemon:app:1',
    'out:1',
    '--format',
    'zstd-chunked',
    '--prefetch',
    'srv/**',
    '--level=3',
    '--reuse',
  ];
  const parsed = parseOptimizeArguments([
    ...converts.slice(0, 4),
    ...own,
    ...converts.slice(4),
    '--',
    '--optimize',
    '--',
    'x',
  ]);
  assert.deepEqual(parsed?.convertArgv, converts);
  assert.deepEqual([parsed?.recordOut, parsed?.stateDir], ['r.jsonl', '/s']);
  assert.deepEqual(parsed?.workload.overrides?.args, ['--optimize', '--', 'x']);
  assert.deepEqual([parsed?.workload.env, parsed?.workload.ready], [['A=-1'], { kind: 'port', port: 80 }]);
  assert.equal(parsed?.workload.name, 'app');
});

test('without arguments the image runs its own, and without --optimize nothing runs', limit, () => {
  assert.equal(parseOptimizeArguments(['a', 'b', '--optimize'])?.workload.overrides?.args, undefined);
  assert.deepEqual(parseOptimizeArguments(['a', 'b', '--optimize', '--'])?.workload.overrides?.args, []);
  for (const argv of [
    ['a', 'b'],
    ['a', 'b', '--record-in', 'f'],
    ['--profile-only', '--record-in', 'f', 'a'],
  ]) {
    assert.equal(parseOptimizeArguments(argv), undefined, argv.join(' '));
  }
});

test('contradictions are one line', limit, () => {
  for (const [argv, message] of [
    [['a', 'b', '--ready-port', '80'], /^--ready-port is for --optimize$/],
    [['a', 'b', '--', 'x'], /^what follows -- is for --optimize$/],
    [['a', 'b', '--optimize', '--record-in', 'f'], /records anew: leave out --record-in/],
    [['a', 'b', '--optimize', '--format', 'stargz'], /leave out --format stargz/],
    [['a', '--optimize'], /expected SOURCE and TARGET, got 1/],
    [['a', 'b', '--optimize', '--frobnicate'], /--frobnicate/],
    [['a', 'b', '--optimize', '--ready-line'], /--ready-line needs a value/],
  ] as const) {
    assert.throws(() => parseOptimizeArguments(argv), { message }, argv.join(' '));
  }
});
