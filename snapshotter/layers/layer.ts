import { setTimeout as delay } from 'node:timers/promises';
import { type HotRange, parseHotRanges } from '../estargz/hot-ranges.ts';
import { isDiskFull } from '../store/error.ts';
import { fileRangesOf } from '../store/first-reads.ts';
import type { LayerReader } from '../store/layer-reader.ts';
import type { LayerStore } from '../store/layer-store.ts';
import type { BuiltTree } from '../tree/build.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { pathOf } from '../tree/lookup.ts';
import type { AccessRecord } from './access-record.ts';
import type { Face } from './face.ts';
import type { OpenedLayer } from './layer-sources.ts';
import type { LayerMemory } from '../builder/tree-memory.ts';

export interface LayerOptions {
  readonly face: Face;
  readonly record: AccessRecord | undefined;
  readonly noprefetch: boolean;
  readonly noBackgroundFetch: boolean;
  /** The list of hot ranges was not used, or a prefetch or background fetch failed; reads still fetch on demand. */
  onFetchError(phase: 'hot-ranges' | 'prefetch' | 'background', error: unknown): void;
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
/** After this the image has started, and the layer is read as any other. */
const startMs = 60_000;
/**
 * For how long prefetch waits until the layers of its image are mounted: on two processors, what it receives, inflates and writes
 * keeps those waiting that build their trees. A pull over a link that needs longer for its TOCs leaves room for both.
 */
const longestPullMs = 2000;
/** For how long a prefetch up to the landmark waits for an access profile that is being looked for. */
const profileWaitMs = 500;

/** A store, its attached views, and its prefetch and background fill. Owns all of them until `close`. */
export class Layer {
  readonly store: LayerStore;
  readonly tree: BuiltTree;
  readonly memory: LayerMemory;
  readonly wasOnDisk: boolean;
  readonly health: Health = { failing: false };
  /** The TOC has the digest of a label. */
  tocVerified = false;
  readonly #options: LayerOptions;
  readonly #views = new Map<string, Promise<AttachedView>>();
  readonly #attached = new Map<string, AttachedView>();
  readonly #fetching = new AbortController();
  #isFetchingAhead = false;
  /** Runs while the readahead is narrow: see Face.setReadahead. */
  #narrowTimer: NodeJS.Timeout | undefined;

  /** Neither attaches nor fetches anything yet. */
  constructor({ store, tree, memory, wasOnDisk }: OpenedLayer, options: LayerOptions) {
    this.store = store;
    this.tree = tree;
    this.memory = memory;
    this.wasOnDisk = wasOnDisk;
    this.#options = options;
    store.onComplete(() => {
      if (this.#fetching.signal.aborted) return;
      this.#noteComplete([...this.#attached.keys()]);
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
      if (this.store.complete) this.#noteComplete([name]);
      else if (this.#narrowTimer !== undefined) this.#options.face.setReadahead?.(this.store, [name], 'narrow');
      return view;
    } catch (error) {
      this.#forget(table);
      throw error;
    }
  }

  /** While accesses are recorded, the face is to see all reads. */
  #noteComplete(views: readonly string[]): void {
    if (this.#options.record === undefined) this.#options.face.completed?.(this.store, views);
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
   * Starts the prefetch, once the image `isPulled`, and then the background fill. `hotRanges` (estargz/hot-ranges.ts) says what
   * to prefetch; without it, or where it is not this layer's, the landmark does, else `prefetchSizeBytes`. Only the first call
   * has an effect. A list that is still being looked for must settle and not reject, nor must `isPulled`.
   */
  startFetching(
    prefetchSizeBytes: number,
    hotRanges?: string | Promise<string | undefined>,
    isPulled?: Promise<void>,
  ): void {
    if (this.#isFetchingAhead || this.#fetching.signal.aborted) return;
    this.#isFetchingAhead = true;
    const ranges = hotRanges instanceof Promise ? hotRanges.then((text) => this.#adopt(text)) : this.#adopt(hotRanges);
    const plan = { ranges, prefetchSizeBytes, isPulled };
    void fetchAhead(this.store, plan, this.#options, this.#fetching.signal);
  }

  /** The ranges to prefetch; with some, readers are to ask for little more. */
  #adopt(hotRanges: string | undefined): readonly HotRange[] | undefined {
    const ranges = this.#hotRangesOf(hotRanges);
    if (ranges !== undefined && !this.store.complete && !this.#fetching.signal.aborted) this.#narrowReadahead();
    return ranges;
  }

  #narrowReadahead(): void {
    const set = (width: 'narrow' | 'usual'): void => {
      const views = [...this.#attached.keys()];
      if (views.length > 0) this.#options.face.setReadahead?.(this.store, views, width);
    };
    set('narrow');
    this.#narrowTimer = setTimeout(() => {
      this.#narrowTimer = undefined;
      if (!this.store.complete) set('usual');
    }, startMs).unref();
  }

  /** A list that cannot be used is no reason to refuse the layer: anybody may have written the annotation. */
  #hotRangesOf(text: string | undefined): readonly HotRange[] | undefined {
    if (text === undefined || this.#options.noprefetch) return undefined;
    const { tocDigest, footer } = this.store.meta;
    try {
      return parseHotRanges(text, { tocDigest, payloadEnd: footer.payloadEnd });
    } catch (error) {
      this.#options.onFetchError('hot-ranges', error);
      return undefined;
    }
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
    clearTimeout(this.#narrowTimer);
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
  return {
    ...reader,
    onFirstRead(dataOffset, sizeBytes) {
      for (const range of fileRangesOf(table, dataOffset, sizeBytes))
        record.add(store.meta.digest, pathOf(table, range.inode), range.offset, range.sizeBytes);
    },
  };
}

type HotRanges = readonly HotRange[] | undefined;

interface PrefetchPlan {
  readonly ranges: HotRanges | Promise<HotRanges>;
  readonly prefetchSizeBytes: number;
  readonly isPulled: Promise<void> | undefined;
}

/** Prefetches when the image is pulled, then fills while nothing else is fetched, until the layer is complete or released. */
async function fetchAhead(
  store: LayerStore,
  plan: PrefetchPlan,
  options: LayerOptions,
  signal: AbortSignal,
): Promise<void> {
  try {
    if (!options.noprefetch) {
      await Promise.race([plan.isPulled, delay(longestPullMs, undefined, { signal, ref: false })]);
      await prefetch(store, plan, signal);
    }
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

/**
 * A profile usually arrives before the layer is mounted, so what the landmark says waits for it a moment: it may be far more than
 * is read. When it has begun, a profile that arrives only adds to it; what is in flight or present is not fetched again.
 */
async function prefetch(store: LayerStore, plan: PrefetchPlan, signal: AbortSignal): Promise<void> {
  const { ranges: coming, prefetchSizeBytes } = plan;
  const isSought = coming instanceof Promise;
  const early = isSought
    ? await Promise.race([coming, delay(profileWaitMs, undefined, { signal, ref: false })])
    : coming;
  if (early !== undefined) return await store.prefetchRanges(early, signal);
  const prefetchEnd = prefetchEndOf(store, prefetchSizeBytes);
  const byLandmark = prefetchEnd > 0 ? store.prefetch(prefetchEnd, signal) : undefined;
  const late = isSought ? prefetchLate(store, coming, signal) : undefined;
  await Promise.all([byLandmark, late]);
}

async function prefetchLate(store: LayerStore, coming: Promise<HotRanges>, signal: AbortSignal): Promise<void> {
  const ranges = await coming;
  if (ranges !== undefined && !signal.aborted) await store.prefetchRanges(ranges, signal);
}

/** Blob offset of the prefetch's end: the landmark, else the given size. */
function prefetchEndOf(store: LayerStore, prefetchSizeBytes: number): number {
  const { landmark } = store;
  if (landmark === undefined) return Math.min(prefetchSizeBytes, store.meta.footer.payloadEnd);
  return landmark.kind === 'prefetch' ? landmark.endOffset : 0;
}
