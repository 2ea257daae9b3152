import { setTimeout as delay } from 'node:timers/promises';
import { isDiskFull } from '../store/error.ts';
import type { LayerReader } from '../store/layer-reader.ts';
import type { LayerStore } from '../store/layer-store.ts';
import { pathOf, ROOT_INODE } from '../tree/lookup.ts';
import type { AccessRecord } from './access-record.ts';
import type { Face } from './face.ts';

export interface LayerOptions {
  readonly face: Face;
  readonly record: AccessRecord | undefined;
  readonly noprefetch: boolean;
  readonly noBackgroundFetch: boolean;
  /** A prefetch or background fetch failed; reads go on to fetch for themselves. */
  onFetchError(phase: 'prefetch' | 'background', error: unknown): void;
  /** The disk is full: deletes what can be spared. */
  makeRoom(): Promise<void>;
  onComplete(): void;
}

export interface Health {
  /** A read failed for lack of the registry and none has succeeded since. */
  failing: boolean;
}

const leastRetryMs = 1000;
const mostRetryMs = 300_000;

/** A store shown to the kernel, with the fetching that nobody waits for. Owns both until `close`. */
export class Layer {
  readonly store: LayerStore;
  readonly path: string;
  readonly health: Health;
  /** The TOC has the digest that a label promised. */
  tocVerified = false;
  readonly #options: LayerOptions;
  readonly #fetching = new AbortController();
  #isFetchingAhead = false;

  /** Fetches nothing yet. */
  static async attach(store: LayerStore, options: LayerOptions): Promise<Layer> {
    const health: Health = { failing: false };
    const path = await options.face.attach(store, readerOf(store, options, health));
    const layer = new Layer(store, path, options, health);
    store.onComplete(() => {
      if (layer.#fetching.signal.aborted) return;
      options.face.completed?.(store);
      options.onComplete();
    });
    return layer;
  }

  private constructor(store: LayerStore, path: string, options: LayerOptions, health: Health) {
    this.store = store;
    this.path = path;
    this.health = health;
    this.#options = options;
  }

  /**
   * Somebody means to read it: prefetch, then fill. `prefetchSizeBytes` is for a layer without a landmark. The first call
   * decides, later ones do nothing.
   */
  startFetching(prefetchSizeBytes: number): void {
    if (this.#isFetchingAhead || this.#fetching.signal.aborted) return;
    this.#isFetchingAhead = true;
    void fetchAhead(this.store, prefetchSizeBytes, this.#options, this.#fetching.signal);
  }

  get rootOwner(): { readonly uid: number; readonly gid: number } {
    const { uid, gid } = this.store.table;
    return { uid: uid[ROOT_INODE]!, gid: gid[ROOT_INODE]! };
  }

  /** Detaches and closes. Rejects, with everything still in place, if the face says that it is in use. */
  async close(): Promise<void> {
    await this.#options.face.detach(this.store);
    await this.abandon();
  }

  /** Closes and leaves it attached, for a face that was released: the next daemon serves it. */
  async abandon(): Promise<void> {
    this.#fetching.abort();
    await this.store.touch();
    await this.store.close();
  }
}

function readerOf(store: LayerStore, { record, makeRoom }: LayerOptions, health: Health): LayerReader {
  const reader: LayerReader = {
    async ensure(dataOffset, sizeBytes, signal) {
      try {
        const ensure = (): Promise<void> => store.ensure(dataOffset, sizeBytes, 'demand', signal);
        await ensure().catch(async (error) => {
          if (!isDiskFull(error)) throw error;
          await makeRoom();
          await ensure();
        });
        health.failing = false;
      } catch (error) {
        if (!signal.aborted) health.failing = true;
        throw error;
      }
    },
  };
  if (record === undefined) return reader;
  return { ...reader, onFirstRead: (inode) => record.add(store.meta.digest, pathOf(store.table, inode)) };
}

/** Prefetch at once, then the rest in quiet times, until the layer is whole or let go. */
async function fetchAhead(
  store: LayerStore,
  prefetchSizeBytes: number,
  options: LayerOptions,
  signal: AbortSignal,
): Promise<void> {
  try {
    const prefetchEnd = options.noprefetch ? 0 : prefetchEndOf(store, prefetchSizeBytes);
    if (prefetchEnd > 0) await store.prefetch(prefetchEnd, signal);
  } catch (error) {
    if (signal.aborted) return;
    options.onFetchError('prefetch', error);
  }
  // Costs no request: a layer that an earlier daemon completed needs nobody to guard its holes once it is verified.
  await store.verify(signal).catch(() => {});
  if (options.noBackgroundFetch) return;
  for (let retryMs = leastRetryMs; !signal.aborted && !store.complete; retryMs = Math.min(2 * retryMs, mostRetryMs)) {
    const before = store.presentChunks();
    try {
      await store.fill(signal);
    } catch (error) {
      if (signal.aborted) return;
      options.onFetchError('background', error);
    }
    if (store.presentChunks() > before) retryMs = leastRetryMs;
    if (!store.complete) await delay(retryMs, undefined, { signal, ref: false }).catch(() => {});
  }
}

/** Blob offset up to which to prefetch: the landmark if there is one, else as many bytes as asked for. */
function prefetchEndOf(store: LayerStore, prefetchSizeBytes: number): number {
  const { landmark } = store;
  if (landmark === undefined) return Math.min(prefetchSizeBytes, store.meta.footer.payloadEnd);
  return landmark.kind === 'prefetch' ? landmark.endOffset : 0;
}
