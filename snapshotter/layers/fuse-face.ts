import type { FuseServer } from '../fuse/server.ts';
import type { LayerStore } from '../store/layer-store.ts';
import { defaultReadaheadKib, recordedReadaheadKib } from '../store/layer-reader.ts';
import { type Face, mountKey } from './face.ts';
import { memorySlotBook, type SlotBook } from './slot-book.ts';

/**
 * One FUSE connection as a face. Slots are never reused, since the kernel may still hold nodes of a removed layer. On a
 * connection that was taken over, the book has the slots.
 */
export function createFuseFace(server: FuseServer, book: SlotBook = memorySlotBook()): Face {
  return openFace(server, book, new Set());
}

/** `narrowed`: slots, of all faces on the connection: its readahead is that of all its layers. */
function openFace(server: FuseServer, book: SlotBook, narrowed: Set<number>): Face {
  const slotsOf = (store: LayerStore, views: readonly string[]): number[] =>
    views.flatMap((view) => book.slots.get(mountKey(store.meta.digest, view))?.slot ?? []);
  const widen = (slot: number): void => {
    if (narrowed.delete(slot) && narrowed.size === 0) server.setReadahead(defaultReadaheadKib);
  };
  return {
    kind: 'fuse',
    async attach(store, reader, { name, table }) {
      const { digest } = store.meta;
      const key = mountKey(digest, name);
      const slot = book.slots.get(key)?.slot ?? book.take();
      book.set(key, { slot });
      const { present, dataFd } = store;
      return server.addLayer({ slot, digest, table, present, dataFd }, reader);
    },
    async detach(store, view) {
      const key = mountKey(store.meta.digest, view);
      const record = book.slots.get(key);
      if (record === undefined) return;
      await server.removeLayer(record.slot);
      book.delete(key);
      widen(record.slot);
    },
    setReadahead(store, views, width) {
      const slots = slotsOf(store, views);
      if (width === 'usual') return slots.forEach(widen);
      if (narrowed.size === 0 && slots.length > 0) server.setReadahead(recordedReadaheadKib);
      for (const slot of slots) narrowed.add(slot);
    },
    completed(store, views) {
      slotsOf(store, views).forEach(widen);
    },
    readHits: () => server.readHits,
    resume: () => server.resume(),
    release: () => server.release(),
    unrecorded: () => openFace(server, memorySlotBook(book), narrowed),
    close: () => server.close().then(() => true),
  };
}
