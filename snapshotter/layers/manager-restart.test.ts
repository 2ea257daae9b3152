import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../testkit/until.ts';
import { digestHex } from '../registry/digest.ts';
import { buildTestBlob } from '../store/testing/blob.ts';
import { limit, openBench, readThrough, refusedFor, signal, soon } from './testing/manager-bench.ts';
import { requestFor, testFiles, testRegistry } from './testing/registry.ts';

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
  await until('the content is verified', () => face.attached.get(blob.digest)!.store.presentChunks() > 0, soon);
  assert.ok(existsSync(join(root, digestHex(blob.digest))));
});

test('a busy layer stays mounted', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const { manager, face } = await openBench(t, testRegistry([blob]));
  const layers = manager();
  await layers.mount(requestFor(blob), signal);
  layers.acquire(blob.digest);
  face.busy = true;
  layers.release(blob.digest);
  await until('the mount', () => layers.mounted(blob.digest) !== undefined, soon);
  face.busy = false;
  await layers.mount(requestFor(blob), signal);
  assert.equal(face.attached.size, 1);
  assert.notEqual(layers.mounted(blob.digest), undefined);
});

test('a busy layer is unmounted once it is idle', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const { manager, face, logged } = await openBench(t, testRegistry([blob]));
  const layers = manager({ resolveTtlMs: 20 });
  await layers.mount(requestFor(blob), signal);
  layers.acquire(blob.digest);
  face.busy = true;
  layers.release(blob.digest);
  await until('the refusal to unmount', () => logged.includes('layer stays mounted'), soon);
  assert.notEqual(layers.mounted(blob.digest), undefined);
  face.busy = false;
  const isGone = () => layers.mounted(blob.digest) === undefined && face.attached.size === 0;
  await until('the end of the mount', isGone, soon);
});

test('the content of a held layer is kept even if it cannot be mounted', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const other = buildTestBlob(testFiles(3, 100, 7));
  const { manager, face, root, logged } = await openBench(t, testRegistry([blob, other]));
  const before = manager();
  await before.mount(requestFor(blob), signal);
  await before.close();
  const layers = manager({ cacheLimitBytes: 0 });
  face.refuses = blob.digest;
  assert.equal((await layers.restore([{ request: requestFor(blob) }], signal)).length, 1);
  layers.acquire(blob.digest);
  await layers.mount(requestFor(other), signal);
  layers.acquire(other.digest);
  layers.release(other.digest);
  await until('the deletion of unused layers', () => logged.includes('unused layers deleted'), soon);
  assert.deepEqual(readdirSync(root), [digestHex(blob.digest)]);
});

test('after a restart layers are mounted without the registry; holes fail until it is back', limit, async (t) => {
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
  assert.deepEqual(await after.restore([{ request: requestFor(blob) }], signal), []);
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

test('what was on disk is read, and the rest prefetched, once the layer is attached', limit, async (t) => {
  const blob = buildTestBlob(testFiles(30, 20_000), { prefetched: 10 });
  const registry = testRegistry([blob]);
  const { manager, face } = await openBench(t, registry);
  const before = manager({ noprefetch: true });
  await before.mount(requestFor(blob), signal);
  await before.close();

  const { requests } = registry.sources.get(blob.digest)!;
  const known = requests.length;
  const [attaching, attach] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  face.beforeAttach = () => {
    attaching.resolve();
    return attach.promise;
  };
  const after = manager();
  const mounting = after.mount(requestFor(blob), signal);
  await attaching.promise;
  await delay(100);
  const asked = requests.length - known;
  attach.resolve();
  await mounting;
  assert.equal(asked, 0);
  await until('the prefetch', () => face.attached.get(blob.digest)!.store.presentChunks() >= 10, soon);
});

test('a restore reports failures, and a later mount serves the holders', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const registry = testRegistry([blob]);
  const { manager } = await openBench(t, registry);
  const source = registry.sources.get(blob.digest)!;
  source.failure = { error: new Error('unreachable') };
  const layers = manager({ resolveTtlMs: 20 });
  const failures = await layers.restore([{ request: requestFor(blob) }], signal);
  assert.deepEqual(
    failures.map(({ layer }) => layer.request.digest),
    [blob.digest],
  );
  layers.acquire(blob.digest);
  source.failure = undefined;
  await layers.mount(requestFor(blob), signal);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.notEqual(layers.mounted(blob.digest), undefined);
});

test('a mounted layer that no snapshot acquires is unmounted', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const { manager } = await openBench(t, testRegistry([blob]));
  const layers = manager({ resolveTtlMs: 20 });
  await layers.mount(requestFor(blob), signal);
  await until('the end of the mount', () => layers.mounted(blob.digest) === undefined, soon);
});

test('a damaged store is created again', limit, async (t) => {
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

test('a store created without verification is not used by a verified mount with another digest', limit, async (t) => {
  const honest = buildTestBlob(testFiles(10, 300));
  const forged = { ...buildTestBlob(testFiles(10, 300, 77)), digest: honest.digest };
  const { manager, root } = await openBench(t, testRegistry([forged]));
  const careless = manager({ disableVerification: true });
  await careless.mount({ ...requestFor(honest) }, signal);
  await careless.close();
  const { manager: carefully, face } = await openBench(t, testRegistry([honest]), root);
  await carefully().mount(requestFor(honest), signal);
  assert.equal(face.attached.get(honest.digest)!.store.meta.tocDigest, honest.tocDigest);
});

test('unused layers are evicted, least recently used first, once the cache exceeds its limit', limit, async (t) => {
  const blobs = [1, 2, 3].map((seed) => buildTestBlob(testFiles(10, 50_000, seed * 50)));
  const registry = testRegistry(blobs);
  const { manager, root } = await openBench(t, registry);
  const layers = manager({ cacheLimitBytes: 1_300_000, prefetchSizeBytes: 1_000_000 });
  for (const [at, blob] of blobs.entries()) {
    await layers.mount(requestFor(blob), signal);
    layers.acquire(blob.digest);
    const isComplete = () => layers.debugLayers().find((layer) => layer.digest === blob.digest)?.complete === true;
    await until('the whole layer', isComplete, soon);
    if (at < 2) layers.release(blob.digest);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  layers.release(blobs[2]!.digest);
  await layers.close();
  const kept = readdirSync(root);
  assert.ok(!kept.includes(digestHex(blobs[0]!.digest)));
  assert.ok(kept.includes(digestHex(blobs[2]!.digest)));
});
