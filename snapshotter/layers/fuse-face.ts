import type { FuseServer } from '../fuse/server.ts';
import type { Face } from './face.ts';
import { memorySlotBook, type SlotBook } from './slot-book.ts';

/**
 * One FUSE connection as a face. Slots count up and are not used twice, because the kernel may still hold nodes of a
 * removed layer. The book names the slot a layer had on a connection that was taken over.
 */
export function createFuseFace(server: FuseServer, book: SlotBook = memorySlotBook()): Face {
  return {
    kind: 'fuse',
    async attach(store, reader) {
      const { digest } = store.meta;
      const slot = book.slots.get(digest)?.slot ?? book.take();
      book.set(digest, { slot });
      const { table, present, dataFd } = store;
      return server.addLayer({ slot, digest, table, present, dataFd }, reader);
    },
    async detach(store) {
      const { digest } = store.meta;
      const record = book.slots.get(digest);
      if (record === undefined) return;
      await server.removeLayer(record.slot);
      book.delete(digest);
    },
    readHits: () => server.readHits,
    resume: () => server.resume(),
    release: () => server.release(),
    close: () => server.close().then(() => true),
  };
}
