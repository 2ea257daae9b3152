import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../testkit/until.ts';
import { digestHex, digestOf } from '../registry/digest.ts';
import { buildTestBlob, type TestBlob } from '../store/testing/blob.ts';
import type { LayerPlace, LayerRequest } from './layer-request.ts';
import { limit, openBench, readThrough, refusedFor, signal, soon } from './testing/manager-bench.ts';
import { requestFor, testFiles, testRegistry } from './testing/registry.ts';

/** Layers with a packed TOC: estargz/packed-toc.ts. */

const files = [1, 2, 3].map((seed) => testFiles(20, 20_000, seed * 100));
const blobs = files.map((some) => buildTestBlob(some, { isPacked: true }));
const siblings = blobs.map((blob) => blob.digest);
const packedTocSizes = blobs.map((blob) => blob.packedTocBytes);

function packedRequest(blob: TestBlob, more: Partial<LayerRequest> = {}): LayerRequest {
  const index = blobs.indexOf(blob);
  return requestFor(blob, {
    siblings,
    packedTocSizes: packedTocSizes.slice(index),
    packedTocDigest: blob.packedTocDigest!,
    ...more,
  });
}

test('layers are mounted by their packed TOCs, with one request each, and found again', limit, async (t) => {
  const registry = testRegistry(blobs);
  const { manager, face, root, warned } = await openBench(t, registry);
  const layers = manager({ noprefetch: true });
  for (const blob of blobs) await layers.mount(packedRequest(blob), signal);
  for (const [index, { digest, footer, tocDigest, packedTocDigest }] of blobs.entries()) {
    const [first, ...others] = registry.sources.get(digest)!.requests;
    assert.deepEqual(others, []);
    assert.ok(first!.start > footer.tocOffset, 'the TOC was not fetched');
    const { meta } = face.attached.get(digest)!.store;
    assert.deepEqual([meta.tocDigest, meta.packedTocDigest], [tocDigest, packedTocDigest]);
    assert.deepEqual(await readThrough(face, digest, files[index]![3]!), files[index]![3]!.content);
  }
  assert.ok(layers.debugLayers().every(({ tocVerified }) => tocVerified));
  await layers.close();
  const requestCount = registry.sources.get(siblings[0]!)!.requests.length;
  const again = manager({ noprefetch: true });
  const { packedTocSizes: _, ...restored } = packedRequest(blobs[0]!, { siblings: [] });
  await again.mount(restored, signal);
  assert.equal(registry.sources.get(siblings[0]!)!.requests.length, requestCount);
  assert.ok(existsSync(join(root, digestHex(siblings[0]!), 'meta.json')));
  assert.deepEqual(warned, []);
});

test('a packed TOC that is not the promised one is not used', limit, async (t) => {
  const [blob] = blobs as [TestBlob];
  for (const packedTocDigest of [digestOf('another'), undefined]) {
    const { manager, face, warned } = await openBench(t, testRegistry(blobs));
    const layers = manager({ noprefetch: true });
    const { packedTocDigest: _, ...request } = packedRequest(blob, { siblings: [blob.digest] });
    await layers.mount(packedTocDigest === undefined ? request : { ...request, packedTocDigest }, signal);
    assert.equal(face.attached.get(blob.digest)!.store.meta.packedTocDigest, undefined);
    assert.equal(warned.length, 1);
  }
});

test('a layer mounted ahead by a packed TOC is refused if its own label has another', limit, async (t) => {
  const { manager } = await openBench(t, testRegistry(blobs));
  const layers = manager({ noprefetch: true });
  await layers.mount(packedRequest(blobs[0]!), signal);
  await until('three mounts', () => layers.mountedCount === 3, soon);
  const other = packedRequest(blobs[1]!, { packedTocDigest: digestOf('another') });
  await assert.rejects(layers.mount(other, signal), refusedFor('toc-digest-mismatch'));
  await layers.mount(packedRequest(blobs[2]!), signal);
});

test('a damaged packed TOC, or a wrong promise of one, leaves the TOC', limit, async (t) => {
  const damaged = buildTestBlob(files[0]!, { isPacked: true, damagePackedToc: true });
  for (const [blob, promised, requestCount] of [
    [damaged, damaged.packedTocBytes, 2],
    [blobs[1]!, blobs[1]!.packedTocBytes + 1, 2],
    [blobs[1]!, 10, 2],
    [blobs[1]!, 1e9, 1],
  ] as const) {
    const registry = testRegistry([blob]);
    const { manager, face } = await openBench(t, registry);
    const layers = manager({ noprefetch: true });
    const { digest, packedTocDigest } = blob;
    const labels = { packedTocSizes: [promised], packedTocDigest: packedTocDigest! };
    await layers.mount(requestFor(blob, labels), signal);
    assert.equal(face.attached.get(digest)!.store.meta.packedTocDigest, undefined);
    assert.equal(registry.sources.get(digest)!.requests.length, requestCount);
  }
});

test('siblings with damaged packed TOCs are mounted ahead by their TOCs', limit, async (t) => {
  const damaged = buildTestBlob(files[1]!, { isPacked: true, damagePackedToc: true });
  const { manager, face } = await openBench(t, testRegistry([blobs[0]!, damaged]));
  const layers = manager({ noprefetch: true });
  const both = [blobs[0]!.digest, damaged.digest];
  const sizes = [blobs[0]!.packedTocBytes, damaged.packedTocBytes];
  await layers.mount(packedRequest(blobs[0]!, { siblings: both, packedTocSizes: sizes }), signal);
  await until('both mounts', () => layers.mountedCount === 2, soon);
  assert.equal(face.attached.get(damaged.digest)!.store.meta.packedTocDigest, undefined);
  await layers.mount(requestFor(damaged, { packedTocDigest: damaged.packedTocDigest! }), signal);
});

test('whiteouts of a packed TOC leave nothing in the lowest layer, whose tree the TOC has', limit, async (t) => {
  const entries = [{ name: '.wh.gone', type: 'reg' }];
  const marked = buildTestBlob(files[2]!, { isPacked: true, entries });
  const registry = testRegistry([blobs[0]!, marked]);
  const { manager, face } = await openBench(t, registry);
  const layers = manager({ noprefetch: true });
  const request = requestFor(marked, {
    packedTocSizes: [marked.packedTocBytes],
    packedTocDigest: marked.packedTocDigest!,
  });
  const place = (isLowest: boolean): LayerPlace => ({ isLowest, below: async () => [] });
  const upper = await layers.mount(request, signal, place(false));
  assert.ok(face.attached.get(marked.digest)!.store.meta.packedTocDigest !== undefined);
  const lowest = await layers.mount(request, signal, place(true));
  assert.deepEqual([upper.view, lowest.view], ['', 'lowest']);
  const [shown, hidden] = [face.views.get(upper.path)!, face.views.get(lowest.path)!];
  assert.equal(shown.inodeCount, hidden.inodeCount + 1);
  assert.deepEqual(hidden.chunkDataOffset, shown.chunkDataOffset);
  await layers.close();
  const requestCount = registry.sources.get(marked.digest)!.requests.length;
  const again = await manager({ noprefetch: true }).mount({ ...request, siblings: [] }, signal, place(true));
  assert.equal(again.view, 'lowest');
  assert.equal(registry.sources.get(marked.digest)!.requests.length, requestCount, 'a restart needs no registry');
});
