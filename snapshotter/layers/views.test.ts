import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '../../testkit/until.ts';
import { digestHex } from '../registry/digest.ts';
import { buildTestBlob, type TestBlob } from '../store/testing/blob.ts';
import { findPath, findXattr } from '../tree/lookup.ts';
import type { LayerPlace, LowerLayer, MountedLayer } from './layer-request.ts';
import { limit, openBench, refusedFor, signal } from './testing/manager-bench.ts';
import { requestFor, testRegistry } from './testing/registry.ts';

const content = Buffer.alloc(5000, 'content');
const time = '2001-09-09T01:46:40.000000007Z';
const directory = (name: string, mode: number, uid: number, more: object = {}): object => ({
  name,
  type: 'dir',
  mode,
  uid,
  gid: uid,
  modtime: time,
  ...more,
});

/** Two bases with different attributes for the directories that `top` only implies. */
const base = buildTestBlob([{ name: 'base', content }], {
  entries: [
    directory('tmp', 0o1777, 0),
    directory('home', 0o755, 0),
    directory('home/app', 0o750, 1000, { xattrs: { 'user.kept': 'eA==', 'trusted.overlay.opaque': 'eQ==' } }),
    { name: 'root', type: 'symlink', linkName: '/secret' },
    directory('secret', 0o700, 5),
  ],
});
const otherBase = buildTestBlob([{ name: 'base', content }], { entries: [directory('tmp', 0o700, 7)] });
const top = buildTestBlob(
  ['tmp/x', 'home/app/.conf', 'root/.profile', 'new/file'].map((name) => ({ name, content })),
  { impliesDirectories: true },
);
const marked = buildTestBlob([{ name: 'd/f', content }], {
  entries: [directory('d', 0o755, 0), { name: 'd/.wh.gone', type: 'reg' }],
});

const on = (...below: LowerLayer[]): LayerPlace => ({ isLowest: below.length === 0, below: async () => below });
const layer = ({ digest, view }: MountedLayer): LowerLayer => ({ digest, view });

async function openLayers(t: TestContext, blobs: readonly TestBlob[]) {
  const bench = await openBench(t, testRegistry(blobs));
  const layers = bench.manager();
  const mount = (blob: TestBlob, ...below: LowerLayer[]) => layers.mount(requestFor(blob), signal, on(...below));
  const attributes = (mounted: MountedLayer, path: string) => {
    const table = bench.face.views.get(mounted.path)!;
    const inode = findPath(table, path);
    const mode = (table.mode[inode]! & 0o7777).toString(8);
    return [mode, table.uid[inode], table.gid[inode], table.mtimeSec[inode], table.mtimeNsec[inode]];
  };
  return { ...bench, layers, mount, attributes };
}

test('directories without entries inherit attributes from the nearest layer below that has them', limit, async (t) => {
  const { mount, attributes, face } = await openLayers(t, [base, top]);
  const mounted = await mount(top, layer(await mount(base)));
  const sec = 1_000_000_000;
  assert.deepEqual(attributes(mounted, 'tmp'), ['1777', 0, 0, sec, 7]);
  assert.deepEqual(attributes(mounted, 'home/app'), ['750', 1000, 1000, sec, 7]);
  // containerd follows the lower layer's link for the attributes, and creates a directory in its place.
  assert.deepEqual(attributes(mounted, 'root'), ['700', 5, 5, sec, 7]);
  assert.deepEqual(attributes(mounted, 'new'), ['755', 0, 0, 0, 0]);
  const table = face.views.get(mounted.path)!;
  const has = (name: string) => findXattr(table, findPath(table, 'home/app'), Buffer.from(name)) >= 0;
  assert.deepEqual([has('user.kept'), has('trusted.overlay.opaque')], [true, false]);
});

test('a layer on different layers has a view for each, over one store', limit, async (t) => {
  const { mount, attributes, face, layers } = await openLayers(t, [base, otherBase, top]);
  const lower = await mount(base);
  const first = await mount(top, layer(lower));
  const second = await mount(top, layer(await mount(otherBase)));
  const plain = await mount(top);
  assert.equal(new Set([first, second, plain].map(({ path }) => path)).size, 3);
  assert.equal(plain.view, '');
  assert.deepEqual(
    [attributes(first, 'tmp')[0], attributes(second, 'tmp')[0], attributes(plain, 'tmp')[0]],
    ['1777', '700', '755'],
  );
  assert.deepEqual(await mount(top, layer(lower)), first);
  assert.equal(layers.mountedCount, 3);
  const stores = new Set([...face.attached.values()].map(({ store }) => store));
  assert.equal(stores.size, 3);
});

test('a layer that inherits nothing has its plain view wherever it is stacked', limit, async (t) => {
  const { mount } = await openLayers(t, [base, otherBase, top]);
  const lower = await mount(base);
  const asked = { isLowest: false, below: () => assert.fail('asked for the layers below') };
  assert.equal((await mount(otherBase, layer(lower))).view, '');
  const { layers } = await openLayers(t, [otherBase]);
  assert.equal((await layers.mount(requestFor(otherBase), signal, asked)).view, '');
  const empty = buildTestBlob([]);
  const { mount: mountAgain } = await openLayers(t, [empty, top]);
  assert.equal((await mountAgain(top, layer(await mountAgain(empty)))).view, '');
});

test('a file in between ends the search, an opaque directory does not', limit, async (t) => {
  const file = buildTestBlob([{ name: 'tmp', content }]);
  const opaque = buildTestBlob([], {
    entries: [directory('home', 0o755, 0), { name: 'home/.wh..wh..opq', type: 'reg' }],
  });
  const { mount, attributes } = await openLayers(t, [base, file, opaque, top]);
  const lower = layer(await mount(base));
  const mounted = await mount(top, layer(await mount(opaque, lower)), layer(await mount(file, lower)), lower);
  assert.equal(attributes(mounted, 'tmp')[0], '755');
  assert.equal(attributes(mounted, 'home/app')[0], '750');
  const broken = buildTestBlob([{ name: 'home', content }]);
  const { mount: mountBroken } = await openLayers(t, [broken, top]);
  const problem = mountBroken(top, layer(await mountBroken(broken)));
  await assert.rejects(problem, refusedFor('corrupt'));
});

test('whiteouts in the lowest layer leave nothing', limit, async (t) => {
  const { mount, face, layers } = await openLayers(t, [base, marked]);
  const shows = ({ path }: MountedLayer): boolean => findPath(face.views.get(path)!, 'd/gone') !== 0;
  const lowest = await mount(marked);
  const higher = await mount(marked, layer(await mount(base)));
  assert.deepEqual([lowest.view, higher.view, shows(lowest), shows(higher)], ['lowest', '', false, true]);
  assert.deepEqual(face.views.get(lowest.path)!.chunkDataOffset, face.views.get(higher.path)!.chunkDataOffset);
  assert.equal((await mount(base)).view, '');
  assert.equal(layers.mountedCount, 2);
});

test('a view is unmounted with its last snapshot, the layer with its last view', limit, async (t) => {
  const { mount, layers, face, root } = await openLayers(t, [base, otherBase, top]);
  const first = await mount(top, layer(await mount(base)));
  const second = await mount(top, layer(await mount(otherBase)));
  const viewFiles = () => readdirSync(join(root, digestHex(top.digest))).filter((name) => name.startsWith('view-'));
  for (const { digest, view } of [first, first, second]) layers.acquire(digest, view);
  assert.equal(viewFiles().length, 2);
  layers.release(first.digest, first.view);
  assert.equal(layers.health(first.digest, first.view), 'ok');
  layers.release(first.digest, first.view);
  await until('the end of the view', () => viewFiles().length === 1, { limitMs: 5000 });
  assert.deepEqual(
    [layers.health(first.digest, first.view), layers.health(second.digest, second.view)],
    ['unavailable', 'ok'],
  );
  assert.deepEqual([face.views.has(first.path), face.views.has(second.path)], [false, true]);
  layers.release(second.digest, second.view);
  await until('the end of the layer', () => !face.attached.has(top.digest), { limitMs: 5000 });
});

test('after a restart a view is restored without looking at the layers below', limit, async (t) => {
  const { mount, layers, face, manager, attributes } = await openLayers(t, [base, top, marked]);
  const mounted = await mount(top, layer(await mount(base)));
  const lowest = await mount(marked);
  const expected = attributes(mounted, 'home/app');
  await layers.close();
  const again = manager();
  const place = (view: string, isLowest: boolean): LayerPlace => ({
    view,
    isLowest,
    below: () => assert.fail('asked'),
  });
  const failures = await again.restore(
    [
      { request: requestFor(top), place: place(mounted.view, false) },
      { request: requestFor(marked), place: place(lowest.view, true) },
    ],
    signal,
  );
  assert.deepEqual(failures, []);
  assert.deepEqual(again.mounted(top.digest, mounted.view), mounted);
  assert.equal(face.views.has(`/layers/${digestHex(top.digest)}`), false);
  assert.deepEqual(attributes(mounted, 'home/app'), expected);
  assert.deepEqual(again.mounted(marked.digest, 'lowest'), lowest);
});

test('a view whose file is damaged is computed again from the layers below, under its old name', limit, async (t) => {
  const { mount, layers, manager, attributes, root } = await openLayers(t, [base, top]);
  const mounted = await mount(top, layer(await mount(base)));
  await layers.close();
  writeFileSync(join(root, digestHex(top.digest), `view-${mounted.view}.json`), '{"version":1,"inherited":[]}');
  const again = manager();
  const place = (...below: LowerLayer[]): LayerPlace => ({ ...on(...below), isLowest: false, view: mounted.view });
  const lost = await again.restore(
    [{ request: requestFor(top), place: place({ digest: base.digest, view: '' }) }],
    signal,
  );
  assert.equal(lost.length, 1);
  const lower = layer(await again.mount(requestFor(base), signal));
  assert.deepEqual(await again.mount(requestFor(top), signal, place(lower)), mounted);
  assert.equal(attributes(mounted, 'home/app')[0], '750');
});
