import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Digest, digestHex, digestOf } from '../registry/digest.ts';
import type { LayerStore } from '../store/layer-store.ts';
import { FetchScheduler } from '../store/scheduler.ts';
import { buildTestBlob, type TestFile } from '../store/testing/blob.ts';
import { findPath } from '../tree/lookup.ts';
import { LayerError, type LayerErrorReason } from './error.ts';
import type { Face, LayerReader } from './face.ts';
import { defaultLayerConfig, type LayerConfig } from './layer-config.ts';
import { LayerManager } from './manager.ts';
import { requestFor, type TestRegistry, testFiles, testRegistry } from './testing/registry.ts';

const limit = { timeout: 20_000 };
const signal = new AbortController().signal;

/** A face that shows layers to the test instead of the kernel. */
interface TestFace extends Face {
  readonly attached: Map<Digest, { store: LayerStore; reader: LayerReader }>;
  busy: boolean;
}

function testFace(): TestFace {
  const face: TestFace = {
    kind: 'fuse',
    attached: new Map(),
    busy: false,
    async attach(store, reader) {
      face.attached.set(store.meta.digest, { store, reader });
      return `/layers/${digestHex(store.meta.digest)}`;
    },
    async detach(store) {
      if (face.busy) throw new Error('EBUSY');
      face.attached.delete(store.meta.digest);
    },
    close: async () => {},
  };
  return face;
}

interface Bench {
  readonly root: string;
  readonly face: TestFace;
  readonly logged: string[];
  manager(config?: Partial<LayerConfig>): LayerManager;
}

async function openBench(t: TestContext, registry: TestRegistry): Promise<Bench> {
  const root = await mkdtemp(join(tmpdir(), 'layers-'));
  const managers: LayerManager[] = [];
  const face = testFace();
  const logged: string[] = [];
  const scheduler = new FetchScheduler({ quietMs: 0 });
  t.after(async () => {
    for (const manager of managers) await manager.close();
    scheduler.close();
    await rm(root, { recursive: true, force: true });
  });
  return {
    root,
    face,
    logged,
    manager(config = {}) {
      const log = {
        info: (_: object, text: string) => void logged.push(text),
        warn: (_: object, text: string) => void logged.push(text),
      };
      const merged = { ...defaultLayerConfig, noBackgroundFetch: true, ...config };
      const manager = new LayerManager({ root, registry, face, scheduler, config: merged, log });
      managers.push(manager);
      return manager;
    },
  };
}

async function readThrough(face: TestFace, digest: Digest, file: TestFile): Promise<Buffer> {
  const { store, reader } = face.attached.get(digest)!;
  const inode = findPath(store.table, file.name);
  const offset = store.table.dataOffset[inode]!;
  await reader.ensure(offset, file.content.length, signal);
  const bytes = Buffer.alloc(file.content.length);
  readSync(store.dataFd, bytes, 0, bytes.length, offset);
  return bytes;
}

function refusedFor(reason: LayerErrorReason): (error: unknown) => boolean {
  return (error) => error instanceof LayerError && error.reason === reason;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('a mounted layer serves its files, and its footer and TOC cost one request', limit, async (t) => {
  const files = testFiles(20, 5000);
  const blob = buildTestBlob(files);
  const registry = testRegistry([blob]);
  const { manager, face } = await openBench(t, registry);
  const mounted = await manager().mount(requestFor(blob), signal);
  assert.equal(mounted.path, `/layers/${digestHex(blob.digest)}`);
  assert.deepEqual(mounted.rootOwner, { uid: 0, gid: 0 });
  assert.equal(registry.sources.get(blob.digest)!.requests.length, 1);
  for (const at of [7, 0, 19]) assert.ok((await readThrough(face, blob.digest, files[at]!)).equals(files[at]!.content));
});

test('a TOC larger than the first request takes one more', limit, async (t) => {
  const blob = buildTestBlob(testFiles(6000, 10));
  const registry = testRegistry([blob]);
  const { manager } = await openBench(t, registry);
  await manager().mount(requestFor(blob, { siblings: Array.from({ length: 40 }, () => blob.digest) }), signal);
  const source = registry.sources.get(blob.digest)!;
  assert.equal(source.requests.length, 2);
  assert.equal(source.requests[1]!.start, blob.footer.tocOffset);
  assert.equal(source.requests[1]!.end, source.requests[0]!.start);
});

test('an image’s layers are resolved together from its first mount', limit, async (t) => {
  const blobs = [1, 2, 3, 4].map((seed) => buildTestBlob(testFiles(3, 100, seed * 100)));
  const registry = testRegistry(blobs, 1);
  const { manager } = await openBench(t, registry);
  const layers = manager();
  const siblings = blobs.map((blob) => blob.digest);
  const first = layers.mount(requestFor(blobs[0]!, { siblings }), signal);
  await new Promise((resolve) => setImmediate(resolve));
  for (const source of registry.sources.values()) assert.equal(source.requests.length, 1);
  await first;
  for (const blob of blobs) await layers.mount(requestFor(blob, { siblings }), signal);
  for (const source of registry.sources.values()) assert.equal(source.requests.length, 1);
});

test('mounts of one layer at the same time are one mount', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const registry = testRegistry([blob]);
  const { manager } = await openBench(t, registry);
  const layers = manager();
  const mounted = await Promise.all(Array.from({ length: 8 }, () => layers.mount(requestFor(blob), signal)));
  assert.equal(new Set(mounted.map((one) => one.path)).size, 1);
  assert.equal(registry.sources.get(blob.digest)!.requests.length, 1);
});

test('an ordinary layer is refused after one request, and remembered as such', limit, async (t) => {
  const bytes = gzipSync(Buffer.alloc(500_000, 'plain'), { level: 0 });
  const plain = { bytes, digest: digestOf(bytes) };
  const registry = testRegistry([plain]);
  const { manager } = await openBench(t, registry);
  const layers = manager();
  const request = { reference: 'registry.test/a:1', digest: plain.digest, siblings: [], skipVerify: false };
  for (let attempt = 0; attempt < 3; attempt++)
    await assert.rejects(layers.mount(request, signal), refusedFor('not-lazy'));
  assert.equal(registry.sources.get(plain.digest)!.requests.length, 1);
});

test(
  'the TOC digest is demanded, compared, and waived only where both label and configuration say so',
  limit,
  async (t) => {
    const blob = buildTestBlob(testFiles(3, 100));
    const { manager } = await openBench(t, testRegistry([blob]));
    const { tocDigest: _, ...unlabelled } = requestFor(blob);
    const wrong = requestFor(blob, { tocDigest: digestOf('another') });
    await assert.rejects(manager().mount(unlabelled, signal), refusedFor('unverified'));
    await assert.rejects(manager().mount(wrong, signal), refusedFor('toc-digest-mismatch'));
    await assert.rejects(manager().mount({ ...unlabelled, skipVerify: true }, signal), refusedFor('unverified'));
    await assert.rejects(manager({ allowNoVerification: true }).mount(unlabelled, signal), refusedFor('unverified'));
    await manager({ allowNoVerification: true }).mount({ ...unlabelled, skipVerify: true }, signal);
    await manager({ disableVerification: true }).mount(wrong, signal);
  },
);

test('a layer mounted for one image is not handed to another whose label disagrees', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const { manager } = await openBench(t, testRegistry([blob]));
  const layers = manager();
  await layers.mount(requestFor(blob), signal);
  const wrong = requestFor(blob, { tocDigest: digestOf('another') });
  await assert.rejects(layers.mount(wrong, signal), refusedFor('toc-digest-mismatch'));
});

test('a verified mount refuses content without digests', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100), { withoutDigests: true });
  const { manager } = await openBench(t, testRegistry([blob]));
  await assert.rejects(manager().mount(requestFor(blob), signal), refusedFor('unverified'));
  await manager({ disableVerification: true }).mount(requestFor(blob), signal);
});

test('a damaged TOC is refused', limit, async (t) => {
  const blob = buildTestBlob(testFiles(30, 100));
  blob.bytes.fill(0x55, blob.footer.tocOffset + 20, blob.footer.tocOffset + 60);
  const { manager, root } = await openBench(t, testRegistry([blob]));
  await assert.rejects(manager().mount(requestFor(blob), signal), refusedFor('corrupt'));
  assert.deepEqual(readdirSync(root), []);
});

test('the landmark’s range is prefetched without holding back the mount, and reads join it', limit, async (t) => {
  const files = testFiles(40, 20_000);
  const blob = buildTestBlob(files, { prefetched: 30 });
  const registry = testRegistry([blob]);
  const { manager, face } = await openBench(t, registry);
  const source = registry.sources.get(blob.digest)!;
  await manager().mount(requestFor(blob), signal);
  const { store } = face.attached.get(blob.digest)!;
  await readThrough(face, blob.digest, files[29]!);
  await until(() => store.presentChunks() >= 30);
  const ranges = source.requests.slice(1);
  assert.ok(ranges.reduce((sum, range) => sum + range.end - range.start, 0) < blob.bytes.length * 1.05);
});

test('noprefetch fetches nothing ahead, prefetch_size does where there is no landmark', limit, async (t) => {
  const marked = buildTestBlob(testFiles(40, 20_000), { prefetched: 30 });
  const plain = buildTestBlob(testFiles(40, 20_000, 500));
  const registry = testRegistry([marked, plain]);
  const { manager, face } = await openBench(t, registry);
  const layers = manager({ noprefetch: true, prefetchSizeBytes: 100_000 });
  await layers.mount(requestFor(marked), signal);
  await layers.mount(requestFor(plain), signal);
  await layers.close();
  assert.equal(registry.sources.get(marked.digest)!.requests.length, 1);
  assert.equal(registry.sources.get(plain.digest)!.requests.length, 1);
  const eager = manager({ prefetchSizeBytes: 100_000 });
  await eager.mount(requestFor(plain), signal);
  const { store } = face.attached.get(plain.digest)!;
  await until(() => store.presentChunks() > 0);
  await eager.close();
  assert.ok(store.presentChunks() < 40);
});

test('the background fill completes a layer', limit, async (t) => {
  const blob = buildTestBlob(testFiles(100, 20_000));
  const { manager, face, logged } = await openBench(t, testRegistry([blob]));
  await manager({ noBackgroundFetch: false }).mount(requestFor(blob), signal);
  await until(() => face.attached.get(blob.digest)!.store.complete);
  assert.ok(logged.includes('layer complete'));
});

test('the last release detaches, and the next mount finds the content on disk', limit, async (t) => {
  const files = testFiles(10, 3000);
  const blob = buildTestBlob(files);
  const registry = testRegistry([blob]);
  const { manager, face, root } = await openBench(t, registry);
  const layers = manager();
  await layers.mount(requestFor(blob), signal);
  layers.acquire(blob.digest);
  layers.acquire(blob.digest);
  await readThrough(face, blob.digest, files[2]!);
  layers.release(blob.digest);
  assert.notEqual(layers.mounted(blob.digest), undefined);
  layers.release(blob.digest);
  assert.equal(layers.mounted(blob.digest), undefined);
  assert.equal(layers.health(blob.digest), 'unavailable');
  await layers.mount(requestFor(blob), signal);
  assert.equal(registry.sources.get(blob.digest)!.requests.length, 2);
  assert.ok(face.attached.get(blob.digest)!.store.presentChunks() > 0);
  assert.ok(existsSync(join(root, digestHex(blob.digest))));
});

test('a layer still in use by somebody stays mounted', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const { manager, face } = await openBench(t, testRegistry([blob]));
  const layers = manager();
  await layers.mount(requestFor(blob), signal);
  layers.acquire(blob.digest);
  face.busy = true;
  layers.release(blob.digest);
  await until(() => layers.mounted(blob.digest) !== undefined);
  face.busy = false;
  await layers.mount(requestFor(blob), signal);
  assert.equal(face.attached.size, 1);
});

test('after a restart layers come back without the registry, holes fail until it returns', limit, async (t) => {
  const files = testFiles(30, 20_000);
  const blob = buildTestBlob(files);
  const registry = testRegistry([blob]);
  const { manager, face, root } = await openBench(t, registry);
  const source = registry.sources.get(blob.digest)!;
  const before = manager({ adaptiveFetch: false });
  await before.mount(requestFor(blob), signal);
  await readThrough(face, blob.digest, files[4]!);
  await before.close();
  await mkdir(join(root, '.new-abc'));

  source.failure = { error: new Error('unreachable') };
  const after = manager({ adaptiveFetch: false });
  assert.deepEqual(await after.restore([requestFor(blob)], signal), []);
  after.acquire(blob.digest);
  assert.ok(!existsSync(join(root, '.new-abc')));
  assert.equal(after.health(blob.digest), 'ok');
  assert.ok((await readThrough(face, blob.digest, files[4]!)).equals(files[4]!.content));
  await assert.rejects(readThrough(face, blob.digest, files[5]!));
  assert.equal(after.health(blob.digest), 'unavailable');
  await assert.rejects(after.mount(requestFor(blob), signal), refusedFor('unreachable'));

  source.failure = undefined;
  await after.mount(requestFor(blob), signal);
  assert.equal(after.health(blob.digest), 'ok');
  assert.ok((await readThrough(face, blob.digest, files[5]!)).equals(files[5]!.content));
});

test('a restore reports what it cannot bring back, and a later mount serves its holders', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const registry = testRegistry([blob]);
  const { manager } = await openBench(t, registry);
  const source = registry.sources.get(blob.digest)!;
  source.failure = { error: new Error('unreachable') };
  const layers = manager({ resolveTtlMs: 20 });
  const failures = await layers.restore([requestFor(blob)], signal);
  assert.deepEqual(
    failures.map((failure) => failure.digest),
    [blob.digest],
  );
  layers.acquire(blob.digest);
  source.failure = undefined;
  await layers.mount(requestFor(blob), signal);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.notEqual(layers.mounted(blob.digest), undefined);
});

test('a mounted layer that no snapshot takes up is let go', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const { manager } = await openBench(t, testRegistry([blob]));
  const layers = manager({ resolveTtlMs: 20 });
  await layers.mount(requestFor(blob), signal);
  await until(() => layers.mounted(blob.digest) === undefined);
});

test('a damaged store is made anew', limit, async (t) => {
  const files = testFiles(10, 3000);
  const blob = buildTestBlob(files);
  const { manager, face, root, logged } = await openBench(t, testRegistry([blob]));
  const before = manager();
  await before.mount(requestFor(blob), signal);
  await before.close();
  await writeFile(join(root, digestHex(blob.digest), 'toc'), 'rubbish');
  await manager().mount(requestFor(blob), signal);
  assert.ok(logged.includes('damaged layer store'));
  assert.ok((await readThrough(face, blob.digest, files[2]!)).equals(files[2]!.content));
});

test('a store made unverified is not trusted by a verified mount that disagrees', limit, async (t) => {
  const honest = buildTestBlob(testFiles(10, 300));
  const forged = { ...buildTestBlob(testFiles(10, 300, 77)), digest: honest.digest };
  const { manager, face, root } = await openBench(t, testRegistry([forged]));
  const careless = manager({ disableVerification: true });
  await careless.mount({ ...requestFor(honest) }, signal);
  await careless.close();
  const log = { info: () => {}, warn: () => {} };
  const options = { root, registry: testRegistry([honest]), face, scheduler: new FetchScheduler(), log };
  const careful = new LayerManager({ ...options, config: defaultLayerConfig });
  t.after(() => careful.close());
  await careful.mount(requestFor(honest), signal);
  assert.equal(face.attached.get(honest.digest)!.store.meta.tocDigest, honest.tocDigest);
});

test('unused layers are deleted, longest unused first, once the cache is over its limit', limit, async (t) => {
  const blobs = [1, 2, 3].map((seed) => buildTestBlob(testFiles(10, 50_000, seed * 50)));
  const registry = testRegistry(blobs);
  const { manager, root } = await openBench(t, registry);
  const layers = manager({ cacheLimitBytes: 1_300_000, prefetchSizeBytes: 1_000_000 });
  for (const [at, blob] of blobs.entries()) {
    await layers.mount(requestFor(blob), signal);
    layers.acquire(blob.digest);
    await until(() => layers.debugLayers().find((layer) => layer.digest === blob.digest)?.complete === true);
    if (at < 2) layers.release(blob.digest);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  layers.release(blobs[2]!.digest);
  await layers.close();
  const kept = readdirSync(root);
  assert.ok(!kept.includes(digestHex(blobs[0]!.digest)));
  assert.ok(kept.includes(digestHex(blobs[2]!.digest)));
});

test('first reads are recorded in order, as the converter wants them', limit, async (t) => {
  const blob = buildTestBlob(testFiles(5, 100));
  const { manager, face, root } = await openBench(t, testRegistry([blob]));
  const file = join(root, 'accesses.jsonl');
  const layers = manager({ recordAccesses: file });
  await layers.mount(requestFor(blob), signal);
  const { store, reader } = face.attached.get(blob.digest)!;
  for (const name of ['dir1/f0004', 'dir0/f0000']) reader.onFirstRead!(findPath(store.table, name), 0);
  await layers.close();
  const lines = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(lines, [
    { layer: blob.digest, path: 'dir1/f0004' },
    { layer: blob.digest, path: 'dir0/f0000' },
  ]);
});

test('a closed manager mounts nothing', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const { manager } = await openBench(t, testRegistry([blob]));
  const layers = manager();
  await layers.close();
  await assert.rejects(layers.mount(requestFor(blob), signal), refusedFor('closed'));
});

test('an aborted wait does not end the mount for others', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const { manager } = await openBench(t, testRegistry([blob], 10));
  const layers = manager();
  const aborter = new AbortController();
  const impatient = layers.mount(requestFor(blob), aborter.signal);
  const patient = layers.mount(requestFor(blob), signal);
  aborter.abort(new Error('cancelled'));
  await assert.rejects(impatient, /cancelled/);
  await patient;
});
