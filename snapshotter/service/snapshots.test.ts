import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Client, credentials } from '@grpc/grpc-js';
import { until } from '../../testkit/until.ts';
import { openClient, RpcError } from '../api/client.ts';
import { LayerError } from '../layers/error.ts';
import type { LayerRequest, MountedLayer } from '../layers/layer-request.ts';
import { noMetrics } from '../observability/metrics.ts';
import type { Digest } from '../registry/digest.ts';
import { SnapshotStore } from '../snapshots/store.ts';
import { LazyLayers, type LayerSource } from './lazy-layers.ts';
import { addService, createServer, listenOnSocket, stopServer } from './server.ts';
import { snapshotsService } from './snapshots.ts';

const limit = { timeout: 20_000 };
const digest = (letter: string) => `sha256:${letter.repeat(64)}` as Digest;

/** A fake whose mounts succeed or fail on demand: only the service's rules are under test. */
class ScriptedLayers implements LayerSource {
  readonly holders = new Map<string, number>();
  readonly requests: LayerRequest[] = [];
  readonly up = new Map<string, MountedLayer>();
  sick = new Set<string>();
  failure: unknown;
  gate: Promise<void> = Promise.resolve();

  async mount(request: LayerRequest, signal: AbortSignal): Promise<MountedLayer> {
    this.requests.push(request);
    await Promise.race([
      this.gate,
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
    ]);
    if (this.failure !== undefined) throw this.failure;
    const mounted = {
      digest: request.digest,
      path: `/lazy/${request.digest.slice(7, 9)}`,
      view: '',
    };
    this.up.set(request.digest, mounted);
    this.sick.delete(request.digest);
    return mounted;
  }
  async restore() {
    return [];
  }
  mounted(name: string) {
    return this.up.get(name);
  }
  acquire(name: Digest) {
    this.holders.set(name, (this.holders.get(name) ?? 0) + 1);
  }
  release(name: Digest) {
    this.holders.set(name, (this.holders.get(name) ?? 0) - 1);
  }
  health(name: Digest) {
    return this.up.has(name) && !this.sick.has(name) ? ('ok' as const) : ('unavailable' as const);
  }
}

async function serve(t: TestContext, mountTimeoutMs = 5000) {
  const directory = mkdtempSync(join(tmpdir(), 'service-'));
  const layers = new ScriptedLayers();
  const store = new SnapshotStore({ root: join(directory, 'root'), layerPath: (name) => layers.mounted(name)?.path });
  const lines: { level: string; message: string; fields: Record<string, unknown> }[] = [];
  const line = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, fields: fields as Record<string, unknown> });
  const log = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
  const fallbacks: string[] = [];
  const lazyMounts: number[] = [];
  const metrics = {
    ...noMetrics,
    fallback: ({ reason }: { reason: string }) => void fallbacks.push(reason),
    lazyMount: (durationMs: number) => void lazyMounts.push(durationMs),
  };
  const lazy = new LazyLayers({ store, layers, log, metrics, mountTimeoutMs });
  const server = createServer();
  const observer = { started: () => {}, finished: () => {} };
  addService(server, 'containerd.services.snapshots.v1.Snapshots', snapshotsService(store, lazy, log), observer);
  const address = join(directory, 'run/s.sock');
  await listenOnSocket(server, address);
  const client = openClient('containerd.services.snapshots.v1.Snapshots', address);
  t.after(async () => {
    client.close();
    await stopServer(server, 1000);
    store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return { client, layers, store, lines, fallbacks, lazyMounts, address };
}

const criLabels = (ref: string, layer: Digest, extra: Record<string, string> = {}) => ({
  'containerd.io/snapshot.ref': ref,
  'containerd.io/snapshot/cri.image-ref': 'registry.test/image:1',
  'containerd.io/snapshot/cri.layer-digest': layer,
  'containerd.io/snapshot/cri.image-layers': `${digest('a')},${digest('b')},sha256:cut`,
  ...extra,
});

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'OK',
    (error: unknown) => (error instanceof RpcError ? error.code : String(error)),
  );

test('a Prepare for a layer that mounts is committed at once, under the name in its ref label', limit, async (t) => {
  const { client, layers } = await serve(t);
  const labels = criLabels('chain-a', digest('a'), {
    'containerd.io/snapshot/stargz/toc.digest': digest('c'),
    'containerd.io/snapshot/remote/stargz.prefetch': '4096',
    'containerd.io/snapshot/stargz/hot-ranges': 'AQ',
    'containerd.io/snapshot/stargz/hot-ranges.1': 'AR',
    'containerd.io/snapshot/stargz/hot-ranges.2': 'of a layer that is not listed',
    'containerd.io/snapshot/stargz/toc-sizes': '5000,70',
    'containerd.io/snapshot/remote/urls': 'https://one.test/x,https://two.test/x',
  });
  assert.equal(await codeOf(client.prepare({ key: 'k1', labels })), 'ALREADY_EXISTS');
  assert.deepEqual(layers.requests, [
    {
      reference: 'registry.test/image:1',
      digest: digest('a'),
      siblings: [digest('a'), digest('b')],
      tocDigest: digest('c'),
      urls: ['https://one.test/x', 'https://two.test/x'],
      tocSizes: [5000, 70],
      hotRanges: 'AQ',
      hotRangesAbove: new Map([[digest('b'), 'AR']]),
      prefetchSizeBytes: 4096,
      skipVerify: false,
    },
  ]);
  const found = [];
  for await (const { info } of client.list({ filters: ['labels."containerd.io/snapshot.ref"==chain-a,parent==""'] }))
    found.push(...info);
  assert.equal(found.length, 1);
  assert.deepEqual([found[0]!.name, found[0]!.kind], ['chain-a', 'COMMITTED']);
  assert.deepEqual(found[0]!.labels, { ...labels, 'containerd.io/snapshot/remote': 'remote snapshot' });
  assert.equal(await codeOf(client.stat({ key: 'k1' })), 'NOT_FOUND');
  assert.equal(layers.holders.get(digest('a')), 1);

  await client.remove({ key: 'chain-a' });
  assert.equal(layers.holders.get(digest('a')), 0);
});

test('labels of other clients are understood, and CRI labels take precedence', limit, async (t) => {
  const { client, layers } = await serve(t);
  const stargz = 'containerd.io/snapshot/remote/stargz.';
  const own = {
    [`${stargz}reference`]: 'other.test/i',
    [`${stargz}digest`]: digest('d'),
    [`${stargz}skipverify`]: 'true',
  };
  await codeOf(client.prepare({ key: 'k1', labels: { 'containerd.io/snapshot.ref': 'x', ...own } }));
  await codeOf(client.prepare({ key: 'k2', labels: criLabels('y', digest('a'), own) }));
  assert.deepEqual(
    layers.requests.map(({ reference, digest: name, skipVerify }) => [reference, name, skipVerify]),
    [
      ['other.test/i', digest('d'), true],
      ['registry.test/image:1', digest('a'), true],
    ],
  );
});

test('two namespaces that race for one layer share one snapshot', limit, async (t) => {
  const { client, layers, store, lines, lazyMounts } = await serve(t);
  const { promise, resolve } = Promise.withResolvers<void>();
  layers.gate = promise;
  const calls = ['one/1/k', 'two/2/k', 'three/3/k'].map((key) =>
    codeOf(client.prepare({ key, labels: criLabels('chain', digest('a')) })),
  );
  await until('three requests for the layer', () => layers.requests.length >= 3, { limitMs: 10_000 });
  resolve();
  assert.deepEqual(await Promise.all(calls), ['ALREADY_EXISTS', 'ALREADY_EXISTS', 'ALREADY_EXISTS']);
  assert.deepEqual(
    store.walk([]).map((info) => info.name),
    ['chain'],
  );
  assert.equal(layers.holders.get(digest('a')), 1);
  assert.equal(
    await codeOf(client.prepare({ key: 'later', labels: criLabels('chain', digest('a')) })),
    'ALREADY_EXISTS',
  );
  assert.equal(layers.requests.length, 3);
  assert.equal(lines.filter(({ message }) => message === 'layer mounted lazily').length, 1);
  assert.equal(lazyMounts.length, 1);
});

test('a layer that cannot be mounted is left to an ordinary pull, counted and logged', limit, async (t) => {
  const { client, layers, lines, fallbacks } = await serve(t, 100);
  const prepare = async (key: string, labels: Record<string, string>) => {
    const { mounts } = await client.prepare({ key, labels });
    assert.equal(mounts[0]!.type, 'bind');
    assert.equal((await client.stat({ key })).info!.kind, 'ACTIVE');
  };
  await prepare('k1', { 'containerd.io/snapshot.ref': 'c1' });
  await prepare('k2', criLabels('c2', 'sha256:short' as Digest));
  await prepare('k3', criLabels('c3', digest('a'), { 'containerd.io/snapshot/stargz/toc.digest': 'nonsense' }));
  await prepare('k0', criLabels('c0', digest('a'), { 'containerd.io/snapshot/cri.image-ref': 'NOT A REFERENCE' }));
  layers.failure = new LayerError('not-lazy', digest('a'), 'an ordinary layer\nwith two lines');
  await prepare('k4', criLabels('c4', digest('a')));
  layers.failure = new Error('a defect');
  await prepare('k5', criLabels('c5', digest('a')));
  layers.failure = undefined;
  layers.gate = new Promise(() => {});
  await prepare('k6', criLabels('c6', digest('a')));
  assert.deepEqual(fallbacks, ['no-labels', ...Array(3).fill('bad-labels'), 'not-lazy', 'internal', 'timeout']);
  const logged = lines.filter((entry) => entry.level === 'warn');
  assert.deepEqual(
    logged.map((entry) => entry.fields.reason),
    fallbacks,
  );
  assert.ok(!String(logged[4]!.fields.error).includes('\n'));
  assert.equal(layers.holders.get(digest('a')) ?? 0, 0);
});

test('a chain with a layer that cannot serve returns UNAVAILABLE until it can again', limit, async (t) => {
  const { client, layers } = await serve(t);
  await codeOf(client.prepare({ key: 'k1', labels: criLabels('bottom', digest('a')) }));
  await codeOf(client.prepare({ key: 'k2', parent: 'bottom', labels: criLabels('top', digest('b')) }));
  const { mounts } = await client.prepare({ key: 'active', parent: 'top' });
  assert.ok(mounts[0]!.options.includes('lowerdir=/lazy/bb:/lazy/aa'));

  layers.failure = new LayerError('unreachable', digest('a'), 'the registry is away');
  layers.up.delete(digest('a'));
  layers.sick.add(digest('b'));
  for (const call of [
    () => client.prepare({ key: 'new', parent: 'top' }),
    () => client.view({ key: 'new', parent: 'top' }),
    () => client.view({ key: 'new', parent: 'bottom' }),
    () => client.mounts({ key: 'active' }),
  ]) {
    assert.equal(await codeOf(call()), 'UNAVAILABLE');
  }
  assert.equal(await codeOf(client.stat({ key: 'new' })), 'NOT_FOUND');
  assert.equal(await codeOf(client.stat({ key: 'active' })), 'OK');

  layers.failure = undefined;
  assert.deepEqual((await client.mounts({ key: 'active' })).mounts, mounts);
});

test('a call cancelled during the mount leaves nothing behind', limit, async (t) => {
  const { client, layers, store, fallbacks } = await serve(t);
  layers.gate = new Promise(() => {});
  const call = client.prepare({ key: 'k', labels: criLabels('c', digest('a')) }, { timeoutMs: 100 });
  assert.equal(await codeOf(call), 'DEADLINE_EXCEEDED');
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual([store.walk([]), fallbacks], [[], []]);
});

test('malformed requests get INVALID_ARGUMENT and a message of one line', limit, async (t) => {
  const { client, address } = await serve(t);
  const long = { l: 'x'.repeat(5000) };
  await client.prepare({ key: 'there' });
  const calls: (() => Promise<unknown>)[] = [
    () => client.prepare({ key: '' }),
    () => client.prepare({ key: 'a\0b' }),
    () => client.prepare({ key: 'a', labels: long }),
    () => client.view({ key: '' }),
    () => client.mounts({}),
    () => client.commit({ name: 'n', key: '' }),
    () => client.remove({}),
    () => client.stat({}),
    () => client.update({}),
    () => client.update({ info: { name: '' } }),
    () => client.update({ info: { name: 'there' }, updateMask: { paths: ['name'] } }),
    () => client.commit({ name: '', key: 'there' }),
    () => client.commit({ name: 'a\0b', key: 'there' }),
    () => client.commit({ name: 'n', key: 'there', labels: long }),
    () => client.update({ info: { name: 'there', labels: long } }),
    () => client.prepare({ key: 'a', parent: 'there' }),
    () => client.usage({}),
    () =>
      client
        .list({ filters: ['name=='] })
        [Symbol.asyncIterator]()
        .next(),
  ];
  for (const call of calls) {
    await assert.rejects(call(), (error) => {
      assert.ok(error instanceof RpcError && error.code === 'INVALID_ARGUMENT', String(error));
      return !error.details.includes('\n');
    });
  }
  const raw = new Client(`unix:${address}`, credentials.createInsecure());
  t.after(() => raw.close());
  const send = (method: string, hex: string) =>
    new Promise((resolve) => {
      const path = `/containerd.services.snapshots.v1.Snapshots/${method}`;
      const bytes = (value: Buffer) => value;
      raw.makeUnaryRequest(path, bytes, bytes, Buffer.from(hex, 'hex'), (error) => resolve(error?.code ?? 0));
    });
  for (const [method, hex] of [
    // A length varint without end; a key and a label that extend past the message; a number as a key; a group.
    ...['Prepare', 'Stat', 'Cleanup'].map((method) => [method, '12ff'] as const),
    ['Prepare', '120561'],
    ['Prepare', '120161' + '22050a016c1205'],
    ['Stat', '1005'],
    ['Stat', '13'],
    // A key, a label's name and its value with invalid UTF-8.
    ['Prepare', '1201ff'],
    ['Prepare', '120161' + '22060a01ff120176'],
    ['Prepare', '120161' + '22060a016c1201ff'],
    ['List', '1201ff'],
  ] as const) {
    assert.equal(await send(method, hex), 3, `${method} ${hex}`);
  }
  // U+FFFD itself is an ordinary character.
  assert.equal(await send('Prepare', '1203efbfbd'), 0);
  assert.deepEqual((await client.stat({ key: '\ufffd' })).info?.name, '\ufffd');
});

test('labels named like properties of Object.prototype are ordinary, also in a mask', limit, async (t) => {
  const { client } = await serve(t);
  const names = ['constructor', 'toString', '__proto__'];
  await client.prepare({ key: 'a', labels: { kept: '1', constructor: 'x' } as never });
  for (const name of names) {
    const { info } = await client.update({ info: { name: 'a' }, updateMask: { paths: [`labels.${name}`] } });
    assert.deepEqual(info?.labels.kept, '1');
    assert.ok(!Object.hasOwn(info!.labels, name), name);
  }
});

test(
  'a committed name that is taken, an active parent and a child are refused with their own status',
  limit,
  async (t) => {
    const { client } = await serve(t);
    await client.prepare({ key: 'a' });
    await client.commit({ name: 'A', key: 'a' });
    await client.prepare({ key: 'b', parent: 'A' });
    assert.equal(await codeOf(client.commit({ name: 'A', key: 'b' })), 'ALREADY_EXISTS');
    assert.equal(await codeOf(client.prepare({ key: 'c', parent: 'b' })), 'INVALID_ARGUMENT');
    assert.equal(await codeOf(client.prepare({ key: 'c', parent: 'nobody' })), 'NOT_FOUND');
    assert.equal(await codeOf(client.remove({ key: 'A' })), 'FAILED_PRECONDITION');
    // A lazy Prepare is checked by the same rules before anything is mounted.
    assert.equal(
      await codeOf(client.prepare({ key: 'd', parent: 'nobody', labels: criLabels('c', digest('a')) })),
      'NOT_FOUND',
    );
  },
);

test(
  'layers that containerd unpacks at the same time are ordinary, keep their whiteouts and are chained at commit',
  limit,
  async (t) => {
    const { client, layers } = await serve(t);
    await client.prepare({ key: 'extract-1 A' });
    await client.commit({ name: 'A', key: 'extract-1 A' });
    const labels = { ...criLabels('B', digest('b')), 'containerd.io/snapshot/parent-chain-id': 'A' };
    const { mounts } = await client.prepare({ key: 'extract-2 B', labels });
    assert.equal(layers.requests.length, 0);
    assert.equal(mounts[0]!.type, 'overlay');
    assert.match(mounts[0]!.options.join(), /^rw,upperdir=\/.*\/fs$/);
    await client.commit({ name: 'B', key: 'extract-2 B', parent: 'A' });
    assert.equal((await client.stat({ key: 'B' })).info?.parent, 'A');
    assert.equal(await codeOf(client.commit({ name: 'C', key: 'B', parent: 'A' })), 'FAILED_PRECONDITION');
  },
);

test('only root may use the socket; a stale one is replaced, one in use or a file is not', limit, async (t) => {
  const { address } = await serve(t);
  assert.equal(statSync(address).mode & 0o777, 0o600);
  const second = createServer();
  await assert.rejects(listenOnSocket(second, address), /another daemon is already listening/);
  await assert.rejects(listenOnSocket(second, import.meta.filename), /it exists and is not a socket/);
  const stale = join(address, '../stale.sock');
  // A listener whose socket file outlives it, as after a crash.
  const dead = createNetServer().listen(stale);
  await new Promise((resolve) => dead.once('listening', resolve));
  const { linkSync, renameSync } = await import('node:fs');
  linkSync(stale, `${stale}.kept`);
  await new Promise((resolve) => dead.close(resolve));
  renameSync(`${stale}.kept`, stale);
  await listenOnSocket(second, stale);
  await stopServer(second, 100);
});
