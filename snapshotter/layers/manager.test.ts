import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { until } from '../../testkit/until.ts';
import { type Digest, digestHex, digestOf } from '../registry/digest.ts';
import { buildTestBlob } from '../store/testing/blob.ts';
import { findPath } from '../tree/lookup.ts';
import { limit, openBench, readThrough, refusedFor, signal, soon } from './testing/manager-bench.ts';
import { requestFor, testFiles, testRegistry } from './testing/registry.ts';
import { encodeHotRanges } from '../estargz/hot-ranges.ts';

test('a mounted layer serves its files; footer and TOC take one request', limit, async (t) => {
  const files = testFiles(20, 5000);
  const blob = buildTestBlob(files);
  const registry = testRegistry([blob]);
  const { manager, face } = await openBench(t, registry);
  const mounted = await manager().mount(requestFor(blob), signal);
  assert.equal(mounted.path, `/layers/${digestHex(blob.digest)}`);
  assert.equal(mounted.view, '');
  assert.equal(registry.sources.get(blob.digest)!.requests.length, 1);
  for (const at of [7, 0, 19]) assert.ok((await readThrough(face, blob.digest, files[at]!)).equals(files[at]!.content));
});

test('a TOC larger than the first request takes a second', limit, async (t) => {
  const blob = buildTestBlob(testFiles(6000, 10));
  const registry = testRegistry([blob]);
  const { manager } = await openBench(t, registry);
  await manager().mount(requestFor(blob, { siblings: Array.from({ length: 40 }, () => blob.digest) }), signal);
  const source = registry.sources.get(blob.digest)!;
  assert.equal(source.requests.length, 2);
  assert.equal(source.requests[1]!.start, blob.footer.tocOffset);
  assert.equal(source.requests[1]!.end, source.requests[0]!.start);
});

test('all layers of an image are resolved at its first mount', limit, async (t) => {
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

test('content is fetched from where the TOC was found: a redirect is followed once', limit, async (t) => {
  const files = testFiles(3, 100);
  const blob = buildTestBlob(files);
  const registry = testRegistry([blob]);
  let sources = 0;
  const counting = {
    ...registry,
    blob: (reference: unknown, digest: Digest) => {
      sources++;
      return registry.blob(reference, digest);
    },
  };
  const { manager, face } = await openBench(t, counting);
  await manager().mount(requestFor(blob), signal);
  await readThrough(face, blob.digest, files[1]!);
  assert.equal(sources, 1);
});

test('concurrent mounts of a layer share one mount', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const registry = testRegistry([blob]);
  const { manager } = await openBench(t, registry);
  const layers = manager();
  const mounted = await Promise.all(Array.from({ length: 8 }, () => layers.mount(requestFor(blob), signal)));
  assert.equal(new Set(mounted.map((one) => one.path)).size, 1);
  assert.equal(registry.sources.get(blob.digest)!.requests.length, 1);
});

test('an ordinary layer is refused after one request, and that is cached', limit, async (t) => {
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
  'the TOC digest is required and compared, and waived only if both label and configuration allow it',
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

test('a layer mounted for one image is refused to another with a different label', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const { manager } = await openBench(t, testRegistry([blob]));
  const layers = manager();
  await layers.mount(requestFor(blob), signal);
  const wrong = requestFor(blob, { tocDigest: digestOf('another') });
  await assert.rejects(layers.mount(wrong, signal), refusedFor('toc-digest-mismatch'));
});

test('a verified mount refuses chunks without digests', limit, async (t) => {
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

test('the landmark’s range is prefetched without delaying the mount, and reads join it', limit, async (t) => {
  const files = testFiles(40, 20_000);
  const blob = buildTestBlob(files, { prefetched: 30 });
  const registry = testRegistry([blob]);
  const { manager, face } = await openBench(t, registry);
  const source = registry.sources.get(blob.digest)!;
  await manager().mount(requestFor(blob), signal);
  const { store } = face.attached.get(blob.digest)!;
  await readThrough(face, blob.digest, files[29]!);
  await until('30 chunks', () => store.presentChunks() >= 30, soon);
  const ranges = source.requests.slice(1);
  assert.ok(ranges.reduce((sum, range) => sum + range.end - range.start, 0) < blob.bytes.length * 1.05);
});

test('noprefetch disables the prefetch; prefetch_size applies without a landmark', limit, async (t) => {
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
  await until('a chunk', () => store.presentChunks() > 0, soon);
  await eager.close();
  assert.ok(store.presentChunks() < 40);
});

test(
  'a list of hot ranges says what is prefetched; one that is malformed leaves it to the landmark',
  limit,
  async (t) => {
    const blob = buildTestBlob(testFiles(40, 20_000), { prefetched: 30 });
    const units = (at: number) => Math.floor(blob.members[at]!.offset / 512);
    const list = [20, 3].map((at, rank) => ({ start: units(at), end: units(at) + 1, rank }));
    const registry = testRegistry([blob]);
    const { manager, face, warned } = await openBench(t, registry);
    const widths: string[] = [];
    face.setReadahead = (_store, views, width) => void widths.push(`${width} for ${views.length}`);
    const layers = manager();
    await layers.mount({ ...requestFor(blob), hotRanges: encodeHotRanges(list, blob.tocDigest) }, signal);
    const { store } = face.attached.get(blob.digest)!;
    await until('both chunks', () => store.presentChunks() === 2, soon);
    for (const at of [20, 3]) assert.ok(store.isPresent(store.table.dataOffset[store.table.chunkInode[at]!]!, 20_000));
    await layers.close();
    await manager().mount(
      { ...requestFor(blob), hotRanges: encodeHotRanges(list, `sha256:${'0'.repeat(64)}`) },
      signal,
    );
    await until('30 chunks', () => face.attached.get(blob.digest)!.store.presentChunks() >= 30, soon);
    assert.deepEqual(
      warned.map((fields) => (fields as { phase: string }).phase),
      ['hot-ranges'],
    );
    assert.deepEqual(widths, ['narrow for 1']);
  },
);

test('a failed prefetch is logged with the registry’s error', limit, async (t) => {
  const blob = buildTestBlob(testFiles(40, 20_000), { prefetched: 30 });
  const registry = testRegistry([blob]);
  const { manager, warned } = await openBench(t, registry);
  const source = registry.sources.get(blob.digest)!;
  const gate = Promise.withResolvers<void>();
  source.gate = gate.promise;
  await manager().mount(requestFor(blob), signal);
  source.failure = { error: new Error('HTTP 503') };
  gate.resolve();
  await until('a warning', () => warned.length > 0, soon);
  const error = `${blob.digest}: cannot fetch from the registry: HTTP 503`;
  assert.deepEqual(warned, [{ digest: blob.digest, phase: 'prefetch', error }]);
});

test('the background fill completes a layer', limit, async (t) => {
  const blob = buildTestBlob(testFiles(100, 20_000));
  const { manager, face, logged } = await openBench(t, testRegistry([blob]));
  await manager({ noBackgroundFetch: false }).mount(requestFor(blob), signal);
  await until('the whole layer', () => face.attached.get(blob.digest)!.store.complete, soon);
  assert.ok(logged.includes('layer complete'));
});

test('first reads are recorded in order, in the converter’s format', limit, async (t) => {
  const blob = buildTestBlob(testFiles(5, 100));
  const { manager, face, root } = await openBench(t, testRegistry([blob]));
  const file = join(root, 'accesses.jsonl');
  const layers = manager({ recordAccesses: file });
  await layers.mount(requestFor(blob), signal);
  const { store, reader } = face.attached.get(blob.digest)!;
  for (const name of ['dir1/f0004', 'dir0/f0000']) {
    const inode = findPath(store.table, name);
    reader.onFirstRead!(store.table.dataOffset[inode]! + 10, 1000);
  }
  await layers.close();
  const lines = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(lines, [
    { layer: blob.digest, path: 'dir1/f0004', offset: 10, size: 90 },
    { layer: blob.digest, path: 'dir0/f0000', offset: 10, size: 90 },
  ]);
});

test('a closed manager mounts nothing', limit, async (t) => {
  const blob = buildTestBlob(testFiles(3, 100));
  const { manager } = await openBench(t, testRegistry([blob]));
  const layers = manager();
  await layers.close();
  await assert.rejects(layers.mount(requestFor(blob), signal), refusedFor('closed'));
});

test('aborting one wait does not end the mount for others', limit, async (t) => {
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
