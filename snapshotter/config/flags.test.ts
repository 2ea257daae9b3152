import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseFlags, usage } from './flags.ts';

test('the default paths are those of containerd-stargz-grpc', () => {
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
  for (const version of ['-version', '--version', '-version=true']) assert.equal(parseFlags([version]), 'version');
  for (const help of ['-h', '-help', '--help']) assert.equal(parseFlags([help]), 'help');
  for (const name of ['--address', '--config', '--root', '--log-level', '--version']) assert.ok(usage.includes(name));
});

test('log levels may be written as logrus accepts them', () => {
  const levelOf = (text: string) => (parseFlags(['--log-level', text]) as { logLevel: string }).logLevel;
  assert.deepEqual(['WARNING', 'Info', 'panic', 'trace'].map(levelOf), ['warn', 'info', 'fatal', 'trace']);
});

test('relative paths are resolved against the working directory, because containerd has another', () => {
  const { address, root } = parseFlags(['--address', 'a.sock', '--root', '../r']) as { address: string; root: string };
  assert.deepEqual([address, root], [join(process.cwd(), 'a.sock'), join(process.cwd(), '../r')]);
});

test('the default configuration may be absent even if it was named', () => {
  const { config, isDefaultConfig } = parseFlags(['--config', '/etc/containerd-stargz-grpc/config.toml']) as never;
  assert.deepEqual([config, isDefaultConfig], ['/etc/containerd-stargz-grpc/config.toml', true]);
});

for (const [args, message] of [
  [['--nosuch'], /nosuch/],
  [['--log-level', 'loud'], /--log-level: expected one of trace,.*found "loud"/],
  [['--address', ''], /--address: expected a path/],
  [['--root='], /--root: expected a path/],
  [['--config='], /--config: expected a path/],
  [['--version=perhaps'], /--version/],
  [['--address', `/${'x'.repeat(107)}`], /at most 107 bytes/],
  [['stray'], /stray/],
] as const) {
  test(`${args.join(' ').slice(0, 40)} is rejected`, () => {
    assert.throws(() => parseFlags(args), message);
  });
}
