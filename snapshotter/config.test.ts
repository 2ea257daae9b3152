import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError, loadConfig, parseConfig } from './config.ts';

test('an empty file gives the defaults of containerd-stargz-grpc', () => {
  const { config, warnings } = parseConfig('', 'c.toml');
  assert.deepEqual(warnings, []);
  assert.equal(config.resolve_result_entry_ttl_sec, 120);
  assert.equal(config.max_concurrency, 2);
  assert.deepEqual([config.blob.max_retries, config.blob.max_wait_msec], [5, 300_000]);
  assert.equal(config.resolver.request_timeout_sec, 30);
  assert.deepEqual(config.resolver.host, {});
  assert.equal(config.cri_keychain.image_service_path, '/run/containerd/containerd.sock');
  assert.equal(config.mount.backend, 'auto');
});

test('values are read at every depth', () => {
  const { config, warnings } = parseConfig(
    `
    noprefetch = true
    [mount]
    backend = "fuse"
    [resolver.host."docker.io"]
    [[resolver.host."docker.io".mirrors]]
    host = "mirror.local:5000"
    insecure = true
    request_timeout_sec = -1
    header = { "X-One" = "1", "X-Two" = ["a", "b"] }
    [[resolver.host."docker.io".mirrors]]
    host = "second"
    `,
    'c.toml',
  );
  assert.deepEqual(warnings, []);
  assert.ok(config.noprefetch);
  assert.equal(config.mount.backend, 'fuse');
  assert.deepEqual(config.resolver.host['docker.io']?.mirrors, [
    { host: 'mirror.local:5000', insecure: true, request_timeout_sec: -1, header: { 'X-One': '1', 'X-Two': 'a, b' } },
    { host: 'second', insecure: false, request_timeout_sec: 0, header: {} },
  ]);
});

test('unknown keys and options without effect warn by their full name', () => {
  const { warnings } = parseConfig('nosuch = 1\n[blob]\nchunk_sise = 5\n[directory_cache]\ndirect = true', 'c.toml');
  assert.equal(warnings.length, 3);
  assert.match(warnings.join('\n'), /c\.toml: nosuch is not an option/);
  assert.match(warnings.join('\n'), /c\.toml: blob\.chunk_sise is not an option/);
  assert.match(warnings.join('\n'), /c\.toml: directory_cache\.direct has no effect/);
});

const refused: [string, RegExp][] = [
  ['noprefetch = "yes"', /^c\.toml: noprefetch: expected true or false, found "yes"$/],
  ['max_concurrency = 0', /max_concurrency: expected an integer from 1 to 64, found 0/],
  ['prefetch_size = 1.5', /prefetch_size: expected an integer of at least 0, found 1.5/],
  ['prefetch_size = -1', /prefetch_size: expected an integer of at least 0/],
  ['metrics_address = 8234', /metrics_address: expected a string, found 8234/],
  ['blob = 3', /blob: expected a table, found 3/],
  ['[mount]\nbackend = "nfs"', /mount\.backend: expected one of "auto", "erofs", "fuse", found "nfs"/],
  ['[resolver.host."h"]\nmirrors = "x"', /resolver\.host\."h"\.mirrors: expected a list of tables/],
  [
    '[[resolver.host."h".mirrors]]\ninsecure = true',
    /mirrors\[0\]\.host: expected a string that is not empty, found nothing/,
  ],
  [
    '[[resolver.host."h".mirrors]]\nhost = "a"\nheader = { x = 1 }',
    /mirrors\[0\]\.header\.x: expected a string or a list/,
  ],
  ['a = 1\nb = = 2', /^c\.toml: line 2, column \d+: /],
  ['a = 1\na = 2', /^c\.toml: line 2/],
];
for (const [text, message] of refused) {
  test(`${JSON.stringify(text)} is refused with file, key and what was expected`, () => {
    assert.throws(
      () => parseConfig(text, 'c.toml'),
      (error) => error instanceof ConfigError && message.test(error.message),
    );
  });
}

test('only a file that nobody asked for may be absent', () => {
  const dir = mkdtempSync(join(tmpdir(), 'config-'));
  try {
    const path = join(dir, 'config.toml');
    assert.equal(loadConfig(path, true).config.debug, false);
    assert.throws(() => loadConfig(path, false), /config\.toml: cannot be read \(ENOENT\); check --config/);
    writeFileSync(path, 'debug = true');
    assert.equal(loadConfig(path, true).config.debug, true);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
