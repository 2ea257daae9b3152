import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFlags, usage } from './flags.ts';

test('without flags the places are those of containerd-stargz-grpc', () => {
  assert.deepEqual(parseFlags([]), {
    address: '/run/containerd-stargz-grpc/containerd-stargz-grpc.sock',
    config: '/etc/containerd-stargz-grpc/config.toml',
    isDefaultConfig: true,
    root: '/var/lib/containerd-stargz-grpc',
    logLevel: 'info',
  });
});

test('one dash and two dashes mean the same, with "=" or a space', () => {
  const expected = { address: '/a', config: 'c', isDefaultConfig: false, root: '/r', logLevel: 'fatal' };
  assert.deepEqual(parseFlags(['-address', '/a', '--config=c', '-root=/r', '--log-level', 'panic']), expected);
  assert.equal(parseFlags(['-version']), 'version');
  assert.equal(parseFlags(['--help']), 'help');
  for (const name of ['--address', '--config', '--root', '--log-level', '--version']) assert.ok(usage.includes(name));
});

for (const [args, message] of [
  [['--nosuch'], /nosuch/],
  [['--log-level', 'loud'], /--log-level: expected one of trace,.*found "loud"/],
  [['--address', 'here.sock'], /--address: expected an absolute path/],
  [['--root', 'there'], /--root: expected an absolute path/],
  [['--address', `/${'x'.repeat(107)}`], /at most 107 bytes/],
  [['stray'], /stray/],
] as const) {
  test(`${args.join(' ').slice(0, 40)} is refused`, () => {
    assert.throws(() => parseFlags(args), message);
  });
}
