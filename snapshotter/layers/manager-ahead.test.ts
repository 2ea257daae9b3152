import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { until } from '../../testkit/until.ts';
import { encodeHotRanges } from '../estargz/hot-ranges.ts';
import { digestOf } from '../registry/digest.ts';
import { buildTestBlob } from '../store/testing/blob.ts';
import { limit, openBench, refusedFor, signal, soon } from './testing/manager-bench.ts';
import { requestFor, testFiles, testRegistry } from './testing/registry.ts';

const blobs = [1, 2, 3, 4].map((seed) => buildTestBlob(testFiles(20, 20_000, seed * 100), { prefetched: 10 }));
const siblings = blobs.map((blob) => blob.digest);

test(
  'an image’s layers are mounted ahead from its first request; prefetch waits for their own requests',
  limit,
  async (t) => {
    const registry = testRegistry(blobs);
    const { manager, face } = await openBench(t, registry);
    const layers = manager();
    await layers.mount(requestFor(blobs[0]!, { siblings }), signal);
    await until(
      'the mounts of all layers',
      () => siblings.every((digest) => layers.mounted(digest) !== undefined),
      soon,
    );
    const top = face.attached.get(siblings[3]!)!.store;
    const prefetched = () => face.attached.get(siblings[0]!)!.store.presentChunks() >= 10;
    await until('the prefetch of the lowest layer', prefetched, soon);
    assert.equal(top.presentChunks(), 0);
    assert.equal(registry.sources.get(siblings[3]!)!.requests.length, 1);
    await layers.mount(requestFor(blobs[3]!, { siblings }), signal);
    await until('the prefetch of the top layer', () => top.presentChunks() >= 10, soon);
  },
);

test('prefetch waits until the image is mounted, but not for ever', limit, async (t) => {
  const { promise: isReleased, resolve: release } = Promise.withResolvers<void>();
  // Before the layers are closed, which wait for it.
  t.after(() => release());
  const registry = testRegistry(blobs);
  const { manager, face } = await openBench(t, registry);
  const layers = manager();
  let attaching = 0;
  face.beforeAttach = () => (++attaching === 4 ? isReleased : Promise.resolve());
  await layers.mount(requestFor(blobs[0]!, { siblings }), signal);
  await until('the last layer to be attached', () => attaching === 4, soon);
  const requests = registry.sources.get(siblings[0]!)!.requests;
  assert.equal(requests.length, 1, 'its TOC');
  const { store } = face.attached.get(siblings[0]!)!;
  await until('the prefetch of the lowest layer', () => store.presentChunks() >= 10, soon);
  assert.equal(face.attached.size, 3);
});

test('a TOC larger than a guess takes one request where the image says its size', limit, async (t) => {
  const large = [1, 2, 3].map((seed) => buildTestBlob(testFiles(6000, 10, seed * 10_000)));
  const tocSizes = large.map(({ bytes, footer }) => bytes.length - footer.tocOffset);
  const digests = large.map(({ digest }) => digest);
  assert.ok(Math.min(...tocSizes) > 256 * 1024, String(tocSizes));
  for (const [promised, requestCount] of [
    [undefined, 2],
    [tocSizes, 1],
    [tocSizes.map(() => 1), 2],
  ] as const) {
    const registry = testRegistry(large);
    const { manager } = await openBench(t, registry);
    const layers = manager({ noprefetch: true });
    const sizes = promised === undefined ? {} : { tocSizes: promised };
    await layers.mount(requestFor(large[0]!, { siblings: digests, ...sizes }), signal);
    await until('all mounts', () => layers.mountedCount === large.length, soon);
    for (const digest of digests) assert.equal(registry.sources.get(digest)!.requests.length, requestCount);
  }
});

test('a layer whose hot ranges the first request lists is prefetched before its own request', limit, async (t) => {
  const { manager, face } = await openBench(t, testRegistry(blobs));
  const layers = manager();
  const top = blobs[3]!;
  const start = Math.floor(top.members[15]!.offset / 512);
  const list = encodeHotRanges([{ start, end: start + 1, rank: 0 }], top.tocDigest);
  await layers.mount(requestFor(blobs[0]!, { siblings, hotRangesAbove: new Map([[top.digest, list]]) }), signal);
  await until('all mounts', () => layers.mountedCount === 4, soon);
  const { store } = face.attached.get(top.digest)!;
  await until('the chunk', () => store.presentChunks() === 1, soon);
  assert.equal(face.attached.get(siblings[2]!)!.store.presentChunks(), 0);
});

test('layers below the first requested one are not mounted ahead', limit, async (t) => {
  const { manager } = await openBench(t, testRegistry(blobs));
  const layers = manager();
  await layers.mount(requestFor(blobs[2]!, { siblings }), signal);
  await until('the mount of the top layer', () => layers.mounted(siblings[3]!) !== undefined, soon);
  assert.equal(layers.mountedCount, 2);
});

test(
  'a layer mounted ahead is refused if its own label has another TOC digest, and then resolved again',
  limit,
  async (t) => {
    const registry = testRegistry(blobs);
    const { manager } = await openBench(t, registry);
    const layers = manager();
    await layers.mount(requestFor(blobs[0]!, { siblings }), signal);
    await until('four mounts', () => layers.mountedCount === 4, soon);
    const other = requestFor(blobs[1]!, { siblings, tocDigest: digestOf('another') });
    await assert.rejects(layers.mount(other, signal), refusedFor('toc-digest-mismatch'));
    const { tocDigest: _, ...unlabelled } = requestFor(blobs[2]!, { siblings });
    await assert.rejects(layers.mount(unlabelled, signal), refusedFor('unverified'));
    await until('two mounts', () => layers.mountedCount === 2, soon);
    await layers.mount(requestFor(blobs[1]!, { siblings }), signal);
    const verified = layers.debugLayers().map(({ digest, tocVerified }) => [digest, tocVerified]);
    assert.deepEqual(Object.fromEntries(verified), {
      [siblings[0]!]: true,
      [siblings[1]!]: true,
      [siblings[3]!]: false,
    });
  },
);

test('an ordinary layer and a repeated one do not stop mounting ahead', limit, async (t) => {
  const bytes = gzipSync(Buffer.alloc(1000, 'plain'));
  const plain = { bytes, digest: digestOf(bytes) };
  const registry = testRegistry([...blobs, plain]);
  const { manager } = await openBench(t, registry);
  const layers = manager();
  const mixed = [siblings[0]!, plain.digest, siblings[1]!, siblings[0]!, siblings[1]!, siblings[2]!];
  await layers.mount(requestFor(blobs[0]!, { siblings: mixed }), signal);
  await until('three mounts', () => layers.mountedCount === 3, soon);
  for (const digest of mixed.slice(1)) {
    if (digest !== siblings[0]) assert.equal(registry.sources.get(digest)!.requests.length, 1);
  }
});

test('a layer that cannot be mounted ahead ends neither the daemon nor its siblings’ mounts', limit, async (t) => {
  const registry = testRegistry(blobs, 5);
  const { manager, face } = await openBench(t, registry);
  const layers = manager();
  face.refuses = siblings[1]!;
  await layers.mount(requestFor(blobs[0]!, { siblings }), signal);
  await until('the other mounts', () => layers.mountedCount === 3 && face.attached.size === 3, soon);
  await assert.rejects(layers.mount(requestFor(blobs[1]!, { siblings }), signal), /EINVAL/);
});

test('a daemon that stops while mounting ahead leaves nothing attached', limit, async (t) => {
  const { manager, face } = await openBench(t, testRegistry(blobs, 5));
  const layers = manager();
  await layers.mount(requestFor(blobs[0]!, { siblings }), signal);
  await layers.close();
  assert.equal(face.attached.size, 0);
});
