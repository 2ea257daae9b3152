import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseLocation } from '../../snapshotter/images/location.ts';
import { openTarget } from '../../snapshotter/images/open.ts';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { digestOf } from '../../snapshotter/registry/digest.ts';
import { mediaTypes } from '../../snapshotter/registry/manifest.ts';
import { parseOptions } from './options.ts';
import { workloadOf, workloadOptions } from './workload-options.ts';

const limit = { timeout: 10_000 };
const client = new RegistryClient();
const parse = (argv: readonly string[], source = 'docker-daemon:shop/app:1') =>
  workloadOf(source, undefined, parseOptions(argv, workloadOptions));

test('an image becomes a workload under the last part of its name', limit, () => {
  const names = {
    'docker-daemon:shop/App:1': 'app',
    'docker-daemon:sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef': '0123456789ab',
    'registry.example:5000/team/web_ui@sha256:0000000000000000000000000000000000000000000000000000000000000000':
      'web-ui',
    redis: 'redis',
    'oci:/srv/layouts/oci:app': 'app',
    'oci:/srv/layouts/oci:shop/app:1': 'app',
    'oci:/srv/layouts/api:latest': 'api',
    'oci:/srv/layouts/api:v1.2-rc1': 'api',
    'oci:/srv/layouts/api': 'api',
    'docker-archive:../out/image.tar.gz:shop/app:1': 'app',
    'docker-archive:../out/app.tar.gz': 'app',
    'docker-archive:../out/app.tgz': 'app',
  };
  for (const [source, name] of Object.entries(names)) {
    assert.deepEqual(parse([], source).image, { name: `imported/${name}`, source });
  }
});

test('a layout or an archive is asked what its image is called', limit, async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'bench-options-'));
  t.after(() => rmSync(scratch, { recursive: true }));
  const nameOf = (source: string) => parse([], source).name;
  const write = async (place: string) => {
    const target = await openTarget(parseLocation(place), { client });
    const config = { mediaType: mediaTypes.ociConfig, digest: digestOf('{}'), size: 2 };
    const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [] };
    await target.tag(mediaTypes.ociManifest, Buffer.from(JSON.stringify(manifest)), AbortSignal.timeout(5000));
    await target.close();
  };
  await write(`oci:${scratch}/oci:app`);
  assert.equal(nameOf(`oci:${scratch}/oci`), 'app');
  await write(`oci:${scratch}/oci:2.1`);
  assert.equal(nameOf(`oci:${scratch}/oci:2.1`), 'oci');
  await write(`docker-archive:${scratch}/image.tar:registry.example/shop/web:1`);
  assert.equal(nameOf(`docker-archive:${scratch}/image.tar`), 'web');
  await write(`docker-archive:${scratch}/unnamed.tar`);
  assert.equal(nameOf(`docker-archive:${scratch}/unnamed.tar`), 'unnamed');
});

test('readiness is what one option says; by none, a short wait for its end', limit, () => {
  assert.deepEqual(parse(['--ready-line', '^up']).ready, { kind: 'line', pattern: /^up/ });
  assert.deepEqual(parse(['--ready-port', '80']).ready, { kind: 'port', port: 80 });
  assert.deepEqual(parse(['--ready-exit']).ready, { kind: 'exit' });
  for (const url of ['http://localhost:8080/up?now', ':8080/up?now', '8080/up?now', 'http://127.0.0.1:8080/up?now']) {
    assert.deepEqual(parse(['--ready-http', url]).ready, { kind: 'http', port: 8080, path: '/up?now' }, url);
  }
  assert.deepEqual(parse(['--ready-http', 'http://localhost']).ready, { kind: 'http', port: 80, path: '/' });
  assert.equal(parse(['--ready-exit']).timeoutMs, 120_000);
  const assumed = parse([]);
  assert.deepEqual([assumed.ready, assumed.timeoutMs], [{ kind: 'exit', isAssumed: true }, 30_000]);
  assert.equal(parse(['--ready-limit', '2min']).timeoutMs, 120_000);
});

test('what is run, with what, and as whom', limit, (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'bench-options-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const input = join(directory, 'in');
  writeFileSync(input, 'hello\n');
  const argv = ['--entrypoint', 'sh -e', '--env', 'A=1=2', '--env', 'B=', '--user', 'app', '--cwd', '/srv'];
  const workload = parse([...argv, '--mount', `${directory}:/data`, '--stdin', input]);
  assert.deepEqual(workload.overrides, { entrypoint: ['sh', '-e'], args: undefined, user: 'app', cwd: '/srv' });
  assert.deepEqual([workload.env, workload.stdin], [['A=1=2', 'B='], 'hello\n']);
  assert.deepEqual(workload.mounts, [{ source: directory, target: '/data' }]);
  writeFileSync(input, 'x'.repeat(65_537));
  assert.throws(() => parse(['--stdin', input]), { code: 'usage', message: /more than 64 KiB; .* --mount/ });
});

test('what cannot be used is one line that names the option', limit, () => {
  for (const [argv, message] of [
    [['--ready-line', '('], /--ready-line '\(' is no regular expression/],
    [['--ready-http', 'https://localhost/'], /--ready-http needs an address in the container/],
    [['--ready-http', 'http://example.test/'], /such as http:\/\/localhost:8080\/health/],
    [['--ready-port', '0'], /--ready-port needs a whole number from 1 to 65535/],
    [['--ready-limit', '2h'], /--ready-limit needs a time like 500ms, 30s or 2min, at most 3600s/],
    [['--ready-port', '1', '--ready-exit'], /only one of --ready-line/],
    [['--env', 'A'], /--env needs NAME=VALUE/],
    [['--mount', '/nowhere:/x'], /--mount: there is no \/nowhere/],
    [['--mount', '/tmp'], /SRC:\/DST/],
    [['--stdin', '/nowhere'], /--stdin: cannot read \/nowhere \(ENOENT\)/],
  ] as const) {
    assert.throws(() => parse(argv), { message }, argv.join(' '));
    assert.throws(() => parse(argv), { code: 'usage', message: /^[^\n]+$/ }, argv.join(' '));
  }
  assert.throws(() => parse([], 'oci:'), { code: 'invalid-location' });
});
