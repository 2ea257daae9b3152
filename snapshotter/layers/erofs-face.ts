import { inlineBuilder, type LayerBuilder } from '../builder/builder.ts';
import { isSuperblockAlive } from '../erofs/mount.ts';
import type { ErofsServer } from '../erofs/server.ts';
import { defaultReadaheadKib, recordedReadaheadKib } from '../store/layer-reader.ts';
import { type Face, mountKey } from './face.ts';
import { memorySlotBook, type SlotBook } from './slot-book.ts';

/** An EROFS mount per view, with its image beside the layer's data file. The mount's directory is named by the slot. */
export function createErofsFace(
  server: ErofsServer,
  book: SlotBook = memorySlotBook(),
  builder: LayerBuilder = inlineBuilder,
): Face {
  /** Superblocks of an earlier daemon's views that could not be attached again: they may still read data. */
  const leftSuperblocks = (): readonly string[] =>
    [...book.slots.values()].flatMap(({ slot, superblocks = [] }) => (server.has(slot) ? [] : superblocks));
  return {
    kind: 'erofs',
    async attach(store, reader, { name, table }) {
      const { digest, reference } = store.meta;
      const key = mountKey(digest, name);
      const left = book.slots.get(key);
      const slot = left?.slot ?? book.take();
      const { present, dataFd, dataPath } = store;
      const imagePath = await builder.writeImage(store.directory, table, name, reference);
      const path = await server.addLayer(
        {
          slot,
          digest,
          table,
          present,
          dataFd,
          dataPath,
          imagePath,
          isComplete: store.complete && reader.onFirstRead === undefined,
        },
        reader,
        left?.superblocks,
      );
      try {
        book.set(key, { slot, superblocks: server.superblocks(slot) });
      } catch (error) {
        await server.removeLayer(slot);
        throw error;
      }
      return path;
    },
    async detach(store, view) {
      const key = mountKey(store.meta.digest, view);
      const slot = book.slots.get(key)?.slot;
      if (slot === undefined) return;
      try {
        await server.removeLayer(slot);
      } catch (error) {
        // It was mounted again, with a new superblock.
        book.set(key, { slot, superblocks: server.superblocks(slot) });
        throw error;
      }
      book.delete(key);
    },
    completed(store, views) {
      for (const view of views) {
        const slot = book.slots.get(mountKey(store.meta.digest, view))?.slot;
        if (slot !== undefined) server.releaseGuard(slot);
      }
    },
    setReadahead(store, views, width) {
      const kib = width === 'narrow' ? recordedReadaheadKib : defaultReadaheadKib;
      for (const view of views) {
        const slot = book.slots.get(mountKey(store.meta.digest, view))?.slot;
        if (slot !== undefined) server.setReadahead(slot, kib);
      }
    },
    async resume() {
      await server.resume();
      for (const [digest, { slot, superblocks = [] }] of [...book.slots])
        if (!server.has(slot) && !superblocks.some(isSuperblockAlive)) book.delete(digest);
    },
    release: () => server.release(),
    unrecorded: () => createErofsFace(server, memorySlotBook(book), builder),
    async close() {
      const left = leftSuperblocks();
      return (await server.close()).length === 0 && !left.some(isSuperblockAlive);
    },
  };
}
