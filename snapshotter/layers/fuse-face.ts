import type { FuseServer } from '../fuse/server.ts';
import type { LayerStore } from '../store/layer-store.ts';
import type { Face, LayerReader } from './face.ts';

/**
 * One FUSE connection as a face. Slots count up from `firstSlot` and are not used twice, because the kernel may still hold
 * nodes of a removed layer. `slotOf` names the slot a layer had on a connection that was taken over.
 */
export function createFuseFace(
  server: FuseServer,
  firstSlot = 1,
  slotOf?: (digest: string) => number | undefined,
): Face {
  const slots = new Map<LayerStore, number>();
  let nextSlot = firstSlot;
  return {
    kind: 'fuse',
    async attach(store: LayerStore, reader: LayerReader) {
      const slot = slotOf?.(store.meta.digest) ?? nextSlot;
      nextSlot = Math.max(nextSlot, slot + 1);
      const { table, present, dataFd } = store;
      const path = await server.addLayer({ slot, table, present, dataFd }, reader);
      slots.set(store, slot);
      return path;
    },
    async detach(store) {
      const slot = slots.get(store);
      if (slot === undefined) return;
      await server.removeLayer(slot);
      slots.delete(store);
    },
    close: () => server.close(),
  };
}
