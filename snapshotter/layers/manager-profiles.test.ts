import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { until } from '../../testkit/until.ts';
import { encodeHotRanges } from '../estargz/hot-ranges.ts';
import { digestOf } from '../registry/digest.ts';
import type { LayerStore } from '../store/layer-store.ts';
import { buildTestBlob, type TestBlob } from '../store/testing/blob.ts';
import { findPath } from '../tree/lookup.ts';
import type { LayerRequest } from './layer-request.ts';
import { limit, openBench, signal, soon } from './testing/manager-bench.ts';
import { requestFor, testFiles, testRegistry } from './testing/registry.ts';

/** A layer of 40 chunks with a landmark after 10, and a list of one chunk before the landmark and one behind it. */
async function openLayer(t: TestContext) {
  const files = testFiles(40, 20_000);
  const blob = buildTestBlob(files, { prefetched: 10 });
  const bench = await openBench(t, testRegistry([blob]));
  const widths: string[] = [];
  bench.face.setReadahead = (_store, _views, width) => void widths.push(width);
  const unit = (at: number) => Math.floor(blob.members[at]!.offset / 512);
  const list = [30, 3].map((at, rank) => ({ start: unit(at), end: unit(at) + 1, rank }));
  // The landmark is a member, too, but no file.
  const hotFiles = [files[29]!, files[3]!];
  const store = (): LayerStore => bench.face.attached.get(blob.digest)!.store;
  return {
    ...bench,
    blob,
    widths,
    hotRanges: encodeHotRanges(list, blob.tocDigest),
    store,
    isHotPresent: () =>
      hotFiles.every(({ name }) => {
        const { table } = store();
        return store().isPresent(table.dataOffset[findPath(table, name)]!, 20_000);
      }),
  };
}

test('a profile that is found says what is prefetched, instead of the landmark', limit, async (t) => {
  const { manager, blob, hotRanges, store, isHotPresent, widths } = await openLayer(t);
  const found = Promise.withResolvers<string>();
  await manager({}, { find: () => found.promise }).mount(requestFor(blob), signal);
  assert.equal(store().presentChunks(), 0);
  found.resolve(hotRanges);
  await until('both chunks', isHotPresent, soon);
  assert.equal(store().presentChunks(), 2);
  assert.deepEqual(widths, ['narrow']);
});

test('without a profile the landmark decides', limit, async (t) => {
  const { manager, blob, store, widths } = await openLayer(t);
  await manager({}, { find: async () => undefined }).mount(requestFor(blob), signal);
  await until('10 chunks', () => store().presentChunks() >= 10, soon);
  assert.deepEqual(widths, []);
});

test('a profile that is found too late adds to what the landmark says', limit, async (t) => {
  const { manager, blob, hotRanges, store, isHotPresent, widths } = await openLayer(t);
  const found = Promise.withResolvers<string>();
  const layers = manager({}, { find: () => found.promise });
  await layers.mount(requestFor(blob), signal);
  await until('10 chunks', () => store().presentChunks() >= 10, soon);
  found.resolve(hotRanges);
  await until('the chunk behind the landmark', isHotPresent, soon);
  assert.ok(store().presentChunks() < 40);
  assert.deepEqual(widths, ['narrow']);
});

test('a profile with a list of another blob is logged, and the landmark decides', limit, async (t) => {
  const { manager, blob, store, warned } = await openLayer(t);
  const foreign = encodeHotRanges([{ start: 0, end: 1, rank: 0 }], digestOf('another TOC'));
  await manager({}, { find: async () => foreign }).mount(requestFor(blob), signal);
  await until('10 chunks', () => store().presentChunks() >= 10, soon);
  assert.deepEqual(
    warned.map((fields) => (fields as { phase: string }).phase),
    ['hot-ranges'],
  );
});

test('neither a mount nor the end of the manager waits for a profile', limit, async (t) => {
  const { manager, blob, hotRanges } = await openLayer(t);
  const found = Promise.withResolvers<string>();
  const layers = manager({}, { find: () => found.promise });
  await layers.mount(requestFor(blob), signal);
  await layers.close();
  found.resolve(hotRanges);
  await found.promise;
});

test('the list of a label comes before a profile, and a restored layer asks for none', limit, async (t) => {
  const { manager, blob, hotRanges, store, isHotPresent } = await openLayer(t);
  const asked: LayerRequest[] = [];
  const find = async (request: LayerRequest): Promise<undefined> => void asked.push(request);
  const first = manager({}, { find });
  await first.mount(requestFor(blob, { hotRanges }), signal);
  await until('both chunks', isHotPresent, soon);
  assert.equal(store().presentChunks(), 2);
  await first.close();
  asked.length = 0;
  assert.deepEqual(await manager({}, { find }).restore([{ request: requestFor(blob) }], signal), []);
  assert.deepEqual(asked, []);
});

test('a layer that is mounted ahead of its request is prefetched by a profile', limit, async (t) => {
  const { manager, layers, upper } = await openTwo(t);
  const find = async ({ digest }: LayerRequest) => (digest === layers.upper.digest ? layers.hotRanges : undefined);
  await manager({}, { find }).mount(layers.request(layers.lower), signal);
  await until('its chunks', () => upper()?.presentChunks() === 2, soon);
});

test('without a profile, a layer that is mounted ahead waits for its own request', limit, async (t) => {
  const { manager, layers, upper } = await openTwo(t);
  const both = manager({}, { find: async () => undefined });
  await both.mount(layers.request(layers.lower), signal);
  await until('the layer above', () => upper() !== undefined, soon);
  // Up to the landmark it would be ten chunks.
  await both.mount({ ...layers.request(layers.upper), hotRanges: layers.hotRanges }, signal);
  await until('its chunks', () => upper()!.presentChunks() > 1, soon);
  assert.equal(upper()!.presentChunks(), 2);
});

/** The layer of `openLayer` above another. */
async function openTwo(t: TestContext) {
  const { blob: upper, hotRanges } = await openLayer(t);
  const lower = buildTestBlob(testFiles(3, 100, 1000));
  const { manager, face } = await openBench(t, testRegistry([lower, upper]));
  const siblings = [lower.digest, upper.digest];
  const request = (blob: TestBlob): LayerRequest => requestFor(blob, { siblings });
  return {
    manager,
    layers: { lower, upper, hotRanges, request },
    upper: (): LayerStore | undefined => face.attached.get(upper.digest)?.store,
  };
}
