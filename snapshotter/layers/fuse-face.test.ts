import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FuseServer } from '../fuse/server.ts';
import { defaultReadaheadKib, recordedReadaheadKib } from '../store/layer-reader.ts';
import type { LayerStore } from '../store/layer-store.ts';
import { createFuseFace } from './fuse-face.ts';

test('the readahead of a connection is narrow until the last layer of all its faces is wide', async () => {
  const widths: number[] = [];
  const server = {
    setReadahead: (kib: number) => void widths.push(kib),
    addLayer: async () => '/mnt/layer',
    removeLayer: async () => {},
  } as unknown as FuseServer;
  const storeOf = (digest: string) => ({ meta: { digest } }) as LayerStore;
  const face = createFuseFace(server);
  const other = face.unrecorded();
  const [one, two] = [storeOf('sha256:1'), storeOf('sha256:2')];
  const view = { name: '', table: undefined as never };
  for (const [on, store] of [
    [face, one],
    [face, two],
    [other, one],
  ] as const) {
    await on.attach(store, undefined as never, view);
    on.setReadahead!(store, [''], 'narrow');
  }
  assert.deepEqual(widths, [recordedReadaheadKib], 'once for all three');
  face.setReadahead!(one, [''], 'usual');
  await face.detach(two, '');
  assert.deepEqual(widths, [recordedReadaheadKib], "the other face's layer is narrow still");
  other.completed!(one, ['']);
  assert.deepEqual(widths, [recordedReadaheadKib, defaultReadaheadKib]);
  other.setReadahead!(one, ['unknown'], 'narrow');
  assert.equal(widths.length, 2, 'a view that is not attached has no readahead');
});
