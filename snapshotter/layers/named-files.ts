import { readSync } from 'node:fs';
import type { Log } from '../platform/log.ts';
import type { Digest } from '../registry/digest.ts';
import type { LayerStore } from '../store/layer-store.ts';
import { firstChunkFrom } from '../store/presence.ts';
import type { StoreObserver } from '../store/store-context.ts';
import { pathOf } from '../tree/lookup.ts';
import { type FileNames, findNamedFile, readFileNames } from './file-names.ts';

export interface NamedFiles {
  /** Observes the store of one of an image's layers, which are given lowest first. */
  observe(siblings: readonly Digest[]): StoreObserver;
}

/** A daemon restart or two images on one base: enough lists to find a layer's own image. */
const maxImages = 64;
/** A program names some ten libraries, a shell script some twenty programs. */
const maxFiles = 64;
/** Beginning, dynamic section, string table. */
const maxPieces = 4;

/**
 * Fetches what a program, library or script names, as soon as a reader has waited for it: ld.so opens libraries one after
 * the other, so that each would cost a round trip. Looks through all mounted layers of the image.
 */
export function createNamedFiles(trace?: Log['trace']): NamedFiles {
  const stores = new Map<Digest, LayerStore>();
  /** Inodes whose content was looked into. */
  const seen = new Map<Digest, Set<number>>();
  const images: (readonly Digest[])[] = [];

  /** Mounted layers of the images that have this one, topmost first. */
  function layersOf(digest: Digest): LayerStore[] {
    const digests = new Set<Digest>();
    for (const image of images.toReversed()) {
      if (image.includes(digest)) for (const sibling of image.toReversed()) digests.add(sibling);
    }
    digests.add(digest);
    return [...digests].flatMap((sibling) => stores.get(sibling) ?? []);
  }

  /** Undefined once the store is closed. */
  async function namesOf(store: LayerStore, inode: number): Promise<FileNames | undefined> {
    const { digest } = store.meta;
    const { table } = store;
    const sizeBytes = table.sizeBytes[inode]!;
    const dataOffset = table.dataOffset[inode]!;
    const readAt = (offset: number, wantedBytes: number): Buffer | undefined => {
      const bytes = Buffer.alloc(Math.max(0, Math.min(wantedBytes, sizeBytes - offset)));
      if (!store.isPresent(dataOffset + offset, bytes.length)) return undefined;
      return bytes.subarray(0, readSync(store.dataFd, bytes, 0, bytes.length, dataOffset + offset));
    };
    for (let piece = 0; piece < maxPieces; piece++) {
      if (stores.get(digest) !== store) return undefined;
      const names = readFileNames(readAt);
      if (names.kind !== 'wanting') return names;
      if (names.offset >= sizeBytes) return undefined;
      await store.ensure(dataOffset + names.offset, 1, 'prefetch');
    }
    return undefined;
  }

  async function follow(store: LayerStore, inode: number): Promise<void> {
    const { digest } = store.meta;
    const inodes = seen.get(digest);
    if (inodes === undefined || inodes.has(inode)) return;
    inodes.add(inode);
    const found = await namesOf(store, inode);
    if (found === undefined || !('names' in found)) return;
    const layers = layersOf(digest);
    const tables = layers.map(({ table }) => table);
    const path = pathOf(store.table, inode);
    const directory = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    const files = found.names.flatMap((name) => findNamedFile(tables, name, found.kind, directory) ?? []);
    const missing = files
      .map((file) => ({ store: layers[file.layer]!, inode: file.inode }))
      .filter(
        (file) => file.store.table.sizeBytes[file.inode]! > 0 && !seen.get(file.store.meta.digest)!.has(file.inode),
      )
      .slice(0, maxFiles);
    if (missing.length > 0) trace?.({ layer: digest, path, files: missing.length }, 'named files');
    await Promise.all(missing.map((file) => fetchFirst(file.store, file.inode)));
  }

  /** The first chunk holds what ld.so or the kernel reads first. */
  async function fetchFirst(store: LayerStore, inode: number): Promise<void> {
    await store.ensure(store.table.dataOffset[inode]!, 1, 'prefetch');
    await follow(store, inode);
  }

  /** A failure is met again, and reported, by the reader of the file itself. */
  const waited = (store: LayerStore, dataOffset: number): void => {
    const { table } = store;
    const chunk = firstChunkFrom(table, dataOffset);
    if (chunk < table.chunkCount) follow(store, table.chunkInode[chunk]!).catch(() => {});
  };

  return {
    observe: (siblings) => ({
      opened(store) {
        stores.set(store.meta.digest, store);
        seen.set(store.meta.digest, new Set());
        if (siblings.length < 2 || images.some((image) => siblings.every((sibling) => image.includes(sibling)))) return;
        images.push(siblings);
        if (images.length > maxImages) images.shift();
      },
      waited,
      closing(store) {
        const { digest } = store.meta;
        if (stores.get(digest) !== store) return;
        stores.delete(digest);
        seen.delete(digest);
      },
    }),
  };
}
