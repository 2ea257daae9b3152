import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fault } from '../../testkit/registry-simulator/faults.ts';
import { RegistryClient, type RegistryClientOptions } from './client.ts';
import type { WrongBytes } from './sender.ts';
import { parseServerAddress } from './server-address.ts';
import { collect, limit } from './testing/fixture.ts';
import { imageOf, layer, layerDigest, manifest, openClient, startSimulator } from './testing/simulated.ts';

const signal = new AbortController().signal;

for (const [path, written] of [
  ['', '/v2'],
  ['', '/v2/'],
  ['/proxy', '/proxy'],
  ['/proxy', '/proxy/v2/'],
  ['/a/b', '//a/b//'],
] as const) {
  for (const scheme of ['', 'http://']) {
    test(`a mirror written as ${scheme}host${written} is requested below ${path}/v2`, limit, async (t) => {
      const mirror = await startSimulator(t, { path });
      const host = '127.0.0.1:1';
      const client = openClient(t, { hosts: { [host]: { mirrors: [{ host: `${scheme}${mirror.host}${written}` }] } } });
      assert.deepEqual((await client.fetchManifest(imageOf({ host }), signal)).bytes, manifest);
      const bytes = await collect(client.blob(imageOf({ host }), layerDigest).fetchRange(5, 500, signal));
      assert.deepEqual(bytes, layer.subarray(5, 500));
      assert.ok(mirror.journal.entries.every(({ target }) => target.includes(`ns=${encodeURIComponent(host)}`)));
    });
  }
}

for (const address of [
  'ftp://mirror.test',
  'https://',
  'https://user:secret@mirror.test',
  'mirror.test?x=1',
  'mirror.test/a#b',
  'two words',
  'unix:///run/mirror.sock',
  'http:/mirror.test:x',
  '',
]) {
  test(`a mirror written as ${JSON.stringify(address)} is refused before any request`, () => {
    assert.throws(
      () => new RegistryClient({ hosts: { 'registry.test': { mirrors: [{ host: address }] } } }),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'invalid-host');
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
  });
}

test('an address keeps its port, scheme and path', () => {
  assert.deepEqual(parseServerAddress('Registry.test:443'), {
    scheme: undefined,
    authority: 'registry.test:443',
    path: '',
  });
  assert.deepEqual(parseServerAddress('http://[::1]:5000/x/'), {
    scheme: 'http',
    authority: '[::1]:5000',
    path: '/x',
  });
});

/** A client of an honest registry behind mirrors with these faults. */
async function behindMirrors(
  t: Parameters<typeof startSimulator>[0],
  damages: readonly string[],
  options: RegistryClientOptions = {},
) {
  const reports: WrongBytes[] = [];
  const mirrors = [];
  for (const name of damages) mirrors.push(await startSimulator(t, { faults: [fault(name)] }));
  const registry = await startSimulator(t);
  const client = openClient(t, {
    hosts: { [registry.host]: { mirrors: mirrors.map(({ host }) => ({ host })) } },
    onWrongBytes: (report) => void reports.push(report),
    ...options,
  });
  return { client, registry, mirrors, reports };
}

/** Reads a range and returns the servers that gave it. */
async function readFrom(source: ReturnType<RegistryClient['blob']>, start: number, end: number) {
  const servers = new Set<string>();
  const bytes = await collect(source.fetchRange(start, end, signal, (server) => servers.add(server)));
  return { isRight: bytes.equals(layer.subarray(start, end)), servers };
}

test('a range that failed its digest comes from the next server once that is reported', limit, async (t) => {
  const { client, registry, mirrors, reports } = await behindMirrors(t, ['damages-blobs', 'damages-blobs']);
  const source = client.blob(imageOf(registry), layerDigest);
  for (const mirror of mirrors) {
    const read = await readFrom(source, 0, layer.length);
    assert.deepEqual(read, { isRight: false, servers: new Set([mirror.host]) });
    assert.equal(source.distrust(read.servers), true);
  }
  assert.deepEqual(await readFrom(source, 0, layer.length), { isRight: true, servers: new Set([registry.host]) });
  assert.deepEqual(
    reports.map(({ server }) => server),
    mirrors.map(({ host }) => host),
  );
  assert.match(reports[0]!.operation, new RegExp(`^fetch blob ${layerDigest}`));
});

test('a server that sent wrong bytes is asked last for ten minutes, for all blobs', limit, async (t) => {
  let nowMs = 1_000_000;
  const clock = { now: () => nowMs, sleep: async () => {} };
  const { client, registry, mirrors } = await behindMirrors(t, ['damages-blobs'], { clock });
  const reference = imageOf(registry);
  client.blob(reference, layerDigest).distrust(new Set([mirrors[0]!.host]));
  assert.ok((await readFrom(client.blob(reference, layerDigest), 0, 100)).servers.has(registry.host));
  nowMs += 600_001;
  assert.ok((await readFrom(client.blob(reference, layerDigest), 0, 100)).servers.has(mirrors[0]!.host));
});

test('distrust returns false once every server has sent wrong bytes', limit, async (t) => {
  const { client, registry, mirrors } = await behindMirrors(t, ['damages-blobs']);
  const source = client.blob(imageOf(registry), layerDigest);
  assert.equal(source.distrust(new Set([mirrors[0]!.host])), true);
  assert.equal(source.distrust(new Set([registry.host])), false);
});

test('of two servers that shared a range neither is blamed, and the range is requested again', limit, async (t) => {
  const { client, registry, mirrors, reports } = await behindMirrors(t, ['damages-blobs']);
  const source = client.blob(imageOf(registry), layerDigest);
  assert.equal(source.distrust(new Set([mirrors[0]!.host, registry.host])), true);
  assert.deepEqual(reports, []);
});

for (const name of ['damages-manifests', 'manifest-other-digest', 'manifest-html', '200-empty'] as const) {
  test(`a mirror with ${name} is passed over for a manifest by digest`, limit, async (t) => {
    const { client, registry, mirrors } = await behindMirrors(t, [name]);
    const { digest } = await openClient(t).fetchManifest(imageOf(registry), signal);
    const { tag: _none, ...byDigest } = imageOf(registry);
    assert.deepEqual((await client.fetchManifest({ ...byDigest, digest }, signal)).bytes, manifest);
    assert.equal(mirrors[0]!.counts.manifests, 1);
  });
}

test('a whole blob with wrong bytes is refused, names its mirror, and is right the next time', limit, async (t) => {
  const { client, registry, mirrors } = await behindMirrors(t, ['damages-blobs']);
  const whole = () => collect(client.fetchBlob(imageOf(registry), layerDigest, signal));
  await assert.rejects(whole(), { code: 'digest-mismatch', host: mirrors[0]!.host });
  assert.deepEqual(await whole(), layer);
});

test('a mirror below a path is told apart from the registry on the same host', limit, async (t) => {
  const mirror = await startSimulator(t, { path: '/proxy', faults: [fault('damages-blobs')] });
  const registry = await startSimulator(t);
  const reports: WrongBytes[] = [];
  const client = openClient(t, {
    hosts: { [registry.host]: { mirrors: [{ host: `${mirror.host}/proxy` }] } },
    onWrongBytes: (report) => void reports.push(report),
  });
  const source = client.blob(imageOf(registry), layerDigest);
  source.distrust((await readFrom(source, 0, 300_000)).servers);
  assert.deepEqual(
    reports.map(({ server }) => server),
    [`${mirror.host}/proxy/v2`],
  );
});
