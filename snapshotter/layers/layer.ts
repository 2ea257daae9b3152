import { setTimeout as delay } from 'node:timers/promises';
import { isDiskFull } from '../store/error.ts';
import type { LayerReader } from '../store/layer-reader.ts';
import type { LayerStore } from '../store/layer-store.ts';
import type { BuiltTree } from '../tree/build.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { pathOf } from '../tree/lookup.ts';
import type { AccessRecord } from './access-record.ts';
import type { Face } from './face.ts';
import type { OpenedLayer } from './layer-sources.ts';
import type { LayerMemory } from './tree-memory.ts';

export interface LayerOptions {
  readonly face: Face;
  readonly record: AccessRecord | undefined;
  readonly noprefetch: boolean;
  readonly noBackgroundFetch: boolean;
  /** A prefetch or background fetch failed; reads still fetch on demand. */
  onFetchError(phase: 'prefetch' | 'background', error: unknown): void;
  /** The disk is full: deletes unused layers. */
  makeRoom(): Promise<void>;
  onComplete(): void;
}

export interface Health {
  /** A read failed because of the registry, and none has succeeded since. */
  failing: boolean;
}

export interface AttachedView {
  /** For overlay's lowerdir. */
  readonly path: string;
  readonly table: InodeTable;
}

const minRetryMs = 1000;
const maxRetryMs = 300_000;

/** A store, its attached views, and its prefetch and background fill. Owns all of them until `close`. */
export class Layer {
  readonly store: LayerStore;
  readonly tree: BuiltTree;
  readonly memory: LayerMemory;
  readonly health: Health = { failing: false };
  /** The TOC has the digest of a label. */
  tocVerified = false;
  readonly #options: LayerOptions;
  readonly #views = new Map<string, Promise<AttachedView>>();
  readonly #attached = new Map<string, AttachedView>();
  readonly #fetching = new AbortController();
  #isFetchingAhead = false;

  /** Neither attaches nor fetches anything yet. */
  constructor({ store, tree, memory }: OpenedLayer, options: LayerOptions) {
    this.store = store;
    this.tree = tree;
    this.memory = memory;
    this.#options = options;
    store.onComplete(() => {
      if (this.#fetching.signal.aborted) return;
      options.face.completed?.(store, [...this.#attached.keys()]);
      options.onComplete();
    });
  }

  /** Attached views by name. */
  get views(): ReadonlyMap<string, AttachedView> {
    return this.#attached;
  }

  /** For /debug/layers. */
  describe(): Readonly<Record<string, unknown>> {
    const { digest, reference } = this.store.meta;
    return {
      digest,
      reference,
      paths: [...this.#attached.values()].map(({ path }) => path),
      healthy: !this.health.failing,
      tocVerified: this.tocVerified,
      complete: this.store.complete,
      ...this.store.snapshot(),
    };
  }

  /** Whether no view is attached or being attached. */
  get isUnused(): boolean {
    return this.#views.size === 0;
  }

  /** Attaches a view under this name, or joins. `makeTable` charges the table to this layer's memory account. */
  async attach(name: string, makeTable: () => Promise<InodeTable>): Promise<AttachedView> {
    let view = this.#views.get(name);
    if (view === undefined) {
      view = this.#attach(name, makeTable);
      this.#views.set(name, view);
      view.catch(() => this.#views.delete(name));
    }
    return await view;
  }

  async #attach(name: string, makeTable: () => Promise<InodeTable>): Promise<AttachedView> {
    const table = await makeTable();
    try {
      const reader = readerOf(this.store, table, this.#options, this.health);
      const path = await this.#options.face.attach(this.store, reader, { name, table });
      const view = { path, table };
      this.#attached.set(name, view);
      // The layer may have been completed meanwhile.
      if (this.store.complete) this.#options.face.completed?.(this.store, [name]);
      return view;
    } catch (error) {
      this.#forget(table);
      throw error;
    }
  }

  /** Rejects, with the view still attached, while it is in use. */
  async detach(name: string): Promise<void> {
    const view = this.#attached.get(name);
    if (view === undefined) return;
    await this.#options.face.detach(this.store, name);
    this.#attached.delete(name);
    this.#views.delete(name);
    this.#forget(view.table);
  }

  /** The plain table is kept as long as the layer. */
  #forget(table: InodeTable): void {
    if (table !== this.tree.table) this.memory.give(table.shared.byteLength);
  }

  /**
   * Starts the prefetch and then the background fill. `prefetchSizeBytes` applies to a layer without a landmark. Only the
   * first call has an effect.
   */
  startFetching(prefetchSizeBytes: number): void {
    if (this.#isFetchingAhead || this.#fetching.signal.aborted) return;
    this.#isFetchingAhead = true;
    void fetchAhead(this.store, prefetchSizeBytes, this.#options, this.#fetching.signal);
  }

  /** Detaches all views and closes. Rejects, with the store still open, if a view is in use. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#views.values());
    for (const name of [...this.#attached.keys()]) await this.detach(name);
    await this.abandon();
  }

  /** Closes without detaching, after the face was released to the next daemon. */
  async abandon(): Promise<void> {
    this.#fetching.abort();
    await this.store.touch();
    await this.store.close();
    this.memory.close();
  }
}

function readerOf(
  store: LayerStore,
  table: InodeTable,
  { record, makeRoom }: LayerOptions,
  health: Health,
): LayerReader {
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
  return { ...reader, onFirstRead: (inode) => record.add(store.meta.digest, pathOf(table, inode)) };
}

/** Prefetches at once, then fills while nothing else is fetched, until the layer is complete or released. */
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
  // Costs no request: a layer completed by an earlier daemon loses its guard once it is verified.
  await store.verify(signal).catch(() => {});
  if (options.noBackgroundFetch) return;
  for (let retryMs = minRetryMs; !signal.aborted && !store.complete; retryMs = Math.min(2 * retryMs, maxRetryMs)) {
    const before = store.presentChunks();
    try {
      await store.fill(signal);
    } catch (error) {
      if (signal.aborted) return;
      options.onFetchError('background', error);
    }
    if (store.presentChunks() > before) retryMs = minRetryMs;
    if (!store.complete) await delay(retryMs, undefined, { signal, ref: false }).catch(() => {});
  }
}

/** Blob offset of the prefetch's end: the landmark, else the given size. */
function prefetchEndOf(store: LayerStore, prefetchSizeBytes: number): number {
  const { landmark } = store;
  if (landmark === undefined) return Math.min(prefetchSizeBytes, store.meta.footer.payloadEnd);
  return landmark.kind === 'prefetch' ? landmark.endOffset : 0;
}
