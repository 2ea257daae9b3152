import type { FuseServer } from '../fuse/server.ts';
import { defaultReadaheadKib, recordedReadaheadKib } from '../store/layer-reader.ts';
import { type Face, mountKey } from './face.ts';
import { memorySlotBook, type SlotBook } from './slot-book.ts';

/**
 * One FUSE connection as a face. Slots are never reused, since the kernel may still hold nodes of a removed layer. On a
 * connection that was taken over, the book has the slots.
 */
export function createFuseFace(server: FuseServer, book: SlotBook = memorySlotBook()): Face {
  /** The connection's readahead is that of all its layers. */
  const narrowed = new Set<string>();
  const widen = (key: string): void => {
    if (narrowed.delete(key) && narrowed.size === 0) server.setReadahead(defaultReadaheadKib);
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
      widen(key);
    },
    setReadahead(store, views, width) {
      const keys = views.map((view) => mountKey(store.meta.digest, view));
      if (width === 'usual') return keys.forEach(widen);
      if (narrowed.size === 0) server.setReadahead(recordedReadaheadKib);
      for (const key of keys) narrowed.add(key);
    },
    completed(store, views) {
      for (const view of views) widen(mountKey(store.meta.digest, view));
    },
    readHits: () => server.readHits,
    resume: () => server.resume(),
    release: () => server.release(),
    unrecorded: () => createFuseFace(server, memorySlotBook(book)),
    close: () => server.close().then(() => true),
  };
}
