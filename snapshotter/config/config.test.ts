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

test('values are read at every level of nesting', () => {
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

test('unknown keys and options without effect give warnings with their full name', () => {
  const { warnings } = parseConfig('nosuch = 1\n[blob]\nchunk_sise = 5\n[directory_cache]\ndirect = true', 'c.toml');
  assert.equal(warnings.length, 3);
  assert.match(warnings.join('\n'), /c\.toml: nosuch is not an option/);
  assert.match(warnings.join('\n'), /c\.toml: blob\.chunk_sise is not an option/);
  assert.match(warnings.join('\n'), /c\.toml: directory_cache\.direct has no effect/);
});

/** Every key of containerd-stargz-grpc v0.18's config.toml. */
const everyKey = `
metrics_address = ":8234"
no_prometheus = false
debug_address = "/run/debug.sock"
ipfs = false
metadata_store = "db"
http_cache_type = "memory"
http_cache_chunk_ttl_sec = 0
filesystem_cache_type = ""
resolve_result_entry_ttl_sec = 0
resolve_result_entry = 30
prefetch_size = 0
prefetch_timeout_sec = 10
prefetch_async_size = 0
noprefetch = false
no_background_fetch = false
debug = false
allow_no_verification = false
disable_verification = false
max_concurrency = 0
log_file_access = false
[blob]
valid_interval = 60
check_always = false
chunk_size = 50000
prefetch_chunk_size = 0
fetching_timeout_sec = 0
force_single_range_mode = false
max_retries = 0
min_wait_msec = 0
max_wait_msec = 0
[directory_cache]
max_lru_cache_entry = 10
max_cache_fds = 10
sync_add = false
direct = true
fadv_dontneed = false
[fuse]
attr_timeout = 0
entry_timeout = 0
passthrough = false
merge_buffer_size = 419430400
merge_worker_count = 10
[resolver]
request_timeout_sec = 0
[[resolver.host."docker.io".mirrors]]
host = "mirror"
insecure = false
request_timeout_sec = 0
[resolver.host."docker.io".mirrors.header]
x = ["y"]
[kubeconfig_keychain]
enable_keychain = false
kubeconfig_path = ""
[cri_keychain]
enable_keychain = false
image_service_path = ""
listen_path = ""
[snapshotter]
allow_invalid_mounts_on_restart = false
lazy_restore_on_restart = false
[fuse_manager]
enable = false
address = ""
path = ""
`;

test('every key of the Go daemon is known, and 0 or an empty string means the default wherever it does there', () => {
  const { config, warnings } = parseConfig(everyKey, 'c.toml');
  assert.deepEqual(
    warnings.filter((warning) => !warning.includes('has no effect in this daemon: ')),
    [],
  );
  const defaults = parseConfig('', 'c.toml').config;
  assert.deepEqual(config.blob, defaults.blob);
  assert.deepEqual(config.cri_keychain, defaults.cri_keychain);
  for (const name of ['max_concurrency', 'resolve_result_entry_ttl_sec'] as const) {
    assert.equal(config[name], defaults[name]);
  }
  assert.equal(parseConfig('[blob]\nmax_retries = -1', 'c.toml').config.blob.max_retries, -1);
});

const refused: [string, RegExp][] = [
  ['noprefetch = "yes"', /^c\.toml: noprefetch: expected true or false, found "yes"$/],
  ['max_concurrency = -1', /max_concurrency: expected an integer from 0 to \d+, found -1/],
  ['[blob]\nfetching_timeout_sec = 3000000', /blob\.fetching_timeout_sec: expected an integer from 0 to 2000000/],
  ['[blob]\nchunk_size = "50k"', /blob\.chunk_size: expected an integer, found "50k"/],
  ['ipfs = 1', /ipfs: expected true or false, found 1/],
  ['metadata_store = false', /metadata_store: expected a string, found false/],
  ['fuse_manager = true', /fuse_manager: expected a table, found true/],
  ['prefetch_size = 1.5', /prefetch_size: expected an integer of at least 0, found 1.5/],
  ['prefetch_size = -1', /prefetch_size: expected an integer of at least 0/],
  ['metrics_address = 8234', /metrics_address: expected host:port, found 8234/],
  ['metrics_address = "8234"', /^c\.toml: metrics_address: expected host:port, found "8234"/],
  ['metrics_address = "::1:8234"', /metrics_address: expected host:port/],
  ['metrics_address = "localhost:70000"', /metrics_address: expected host:port/],
  ['blob = 3', /blob: expected a table, found 3/],
  ['[mount]\nbackend = "nfs"', /mount\.backend: expected one of "auto", "erofs", "fuse", found "nfs"/],
  ['[resolver.host."h.test"]\nmirrors = "x"', /resolver\.host\."h\.test"\.mirrors: expected a list of tables/],
  ['[[resolver.host."h.test".mirrors]]\ninsecure = true', /mirrors\[0\]\.host: expected a server .*, found nothing/],
  [
    '[[resolver.host."h.test".mirrors]]\nhost = "a"\nheader = { x = 1 }',
    /mirrors\[0\]\.header\.x: expected a string or a list/,
  ],
  [
    '[[resolver.host."h.test".mirrors]]\nhost = "ftp://m.test"',
    /^c\.toml: resolver\.host\."h\.test"\.mirrors\[0\]\.host: .*registries are not reached by ftp/,
  ],
  ['[[resolver.host."h.test".mirrors]]\nhost = ""', /mirrors\[0\]\.host: .*it is not a host/],
  [
    '[[resolver.host."https://docker.io".mirrors]]\nhost = "m.test"',
    /resolver\.host\."https:\/\/docker\.io": .*not the registry of any image reference/,
  ],
  ['a = 1\nb = = 2', /^c\.toml: line 2, column \d+: /],
  ['a = 1\na = 2', /^c\.toml: line 2/],
];
for (const [text, message] of refused) {
  test(`${JSON.stringify(text)} is rejected with the file, the key and what was expected`, () => {
    assert.throws(
      () => parseConfig(text, 'c.toml'),
      (error) => error instanceof ConfigError && message.test(error.message),
    );
  });
}

test('only the default file may be absent', () => {
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
