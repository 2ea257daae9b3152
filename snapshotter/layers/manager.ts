import { setTimeout as delay, setImmediate as yieldTurn } from 'node:timers/promises';
import { untilAborted } from '../platform/abort.ts';
import { describeError } from '../platform/log.ts';
import type { Digest } from '../registry/digest.ts';
import { isDiskFull } from '../store/error.ts';
import { type AccessRecord, createAccessRecord } from './access-record.ts';
import { asLayerError, LayerError } from './error.ts';
import { reclaimLeaks } from './eviction.ts';
import { Evictor } from './evictor.ts';
import type { Face } from './face.ts';
import { Layer } from './layer.ts';
import type { LayerPlace, LayerRequest, MountedLayer, RestoredLayer } from './layer-request.ts';
import { LayerSources, type LayerSourcesOptions, type OpenedLayer } from './layer-sources.ts';
import { placeLayer } from './placement.ts';
import { plainView, removeView } from './views.ts';

export interface LayerManagerOptions extends LayerSourcesOptions {
  readonly face: Face;
}

/** How long a layer that failed verification is kept for concurrent requests. */
const refusedTtlMs = 1000;

/** Minimum delay before the unmount of a busy layer is tried again. */
const minBusyTtlMs = 1000;

/** Lets the response to the request go out first. */
const answerMs = 2;

/** All layers of the daemon, from the first mount to the deletion of the cache. */
export class LayerManager {
  readonly #options: LayerManagerOptions;
  readonly #sources: LayerSources;
  readonly #record: AccessRecord | undefined;
  readonly #evictor: Evictor;
  readonly #layers = new Map<Digest, Layer>();
  /** Number of snapshots per view of a layer, mounted or not: a view that could not be restored may be mounted later. */
  readonly #holders = new Map<Digest, Map<string, number>>();
  readonly #opening = new Map<Digest, Promise<Layer>>();
  readonly #unmounting = new Map<Digest, Promise<void>>();
  readonly #idleTimers = new Map<Digest, NodeJS.Timeout>();
  /** By reference, the images whose layers are being mounted ahead of their requests; settles when they are. */
  readonly #ahead = new Map<string, Promise<void>>();
  #closing: Promise<void> | undefined;

  constructor(options: LayerManagerOptions) {
    this.#options = options;
    const { root, config, log } = options;
    // Layers of snapshots count as held even if not mounted: without the registry their cache is the only copy.
    const isHeld = (digest: Digest): boolean =>
      [this.#layers, this.#opening, this.#unmounting, this.#holders].some((those) => those.has(digest));
    this.#evictor = new Evictor({ root, limitBytes: config.cacheLimitBytes, isHeld, log });
    this.#sources = new LayerSources(options, () => this.#evictor.noteGrowth());
    if (config.recordAccesses !== undefined) {
      const file = config.recordAccesses;
      this.#record = createAccessRecord(file, (error) =>
        log.warn({ file, error: describeError(error) }, 'accesses not recorded'),
      );
    }
  }

  /**
   * Mounts the view of a layer that belongs to `place`, or the plain one without a place; from the local store or the
   * registry. Concurrent calls share a mount. An abort ends the wait, not the mount. Does not wait for content. Throws
   * LayerError.
   */
  async mount(request: LayerRequest, signal: AbortSignal, place?: LayerPlace): Promise<MountedLayer> {
    const { digest } = request;
    signal.throwIfAborted();
    this.#assertOpen(digest);
    const isFirst = !this.#ahead.has(request.reference);
    if (isFirst) this.#sources.resolveAhead(request, this.#siblingsToMount(request), (sibling) => this.#isNew(sibling));
    const layer = await untilAborted(this.#layerFor(request), signal);
    this.#verify(request, layer);
    if (layer.health.failing) await this.#probe(layer, request, signal);
    const { prefetchSizeBytes = this.#options.config.prefetchSizeBytes } = request;
    const mountedAhead = Promise.withResolvers<void>();
    const isPulled = isFirst ? mountedAhead.promise : this.#ahead.get(request.reference);
    const { view, path } = await untilAborted(this.#show(digest, layer, place), signal);
    layer.startFetching(prefetchSizeBytes, this.#sources.hotRangesOf(request), isPulled);
    if (isFirst) void this.#mountAhead(request, mountedAhead.promise).finally(mountedAhead.resolve);
    return { digest, view, path };
  }

  /** Mounts what the snapshots of an earlier daemon need; without the registry if the stores are intact. Resolves with the failures. */
  async restore(
    layers: readonly RestoredLayer[],
    signal: AbortSignal,
  ): Promise<{ readonly layer: RestoredLayer; readonly error: unknown }[]> {
    const { root, log } = this.#options;
    const leaked = await reclaimLeaks(root);
    if (leaked.length > 0) log.info({ directories: leaked.length }, 'half-made layer stores removed');
    const results = await Promise.all(
      layers.map((layer) =>
        this.mount({ ...layer.request, siblings: [] }, signal, layer.place).then(
          () => undefined,
          (error: unknown) => ({ layer, error }),
        ),
      ),
    );
    this.#evictor.evict();
    return results.filter((result) => result !== undefined);
  }

  mounted(digest: string, view = plainView): MountedLayer | undefined {
    const attached = this.#layers.get(digest as Digest)?.views.get(view);
    return attached === undefined ? undefined : { digest: digest as Digest, view, path: attached.path };
  }

  /** Holds a view for a snapshot until the matching release. */
  acquire(digest: Digest, view = plainView): void {
    const holders = this.#holders.get(digest) ?? new Map<string, number>();
    holders.set(view, (holders.get(view) ?? 0) + 1);
    this.#holders.set(digest, holders);
  }

  /** The last release of a view unmounts it, the last of all views the layer; its content stays cached within the limit. */
  release(digest: Digest, view = plainView): void {
    const holders = this.#holders.get(digest);
    const count = holders?.get(view) ?? 0;
    if (holders === undefined || count === 0) return;
    if (count > 1) {
      holders.set(view, count - 1);
      return;
    }
    holders.delete(view);
    if (holders.size === 0) this.#holders.delete(digest);
    const layer = this.#layers.get(digest);
    if (layer !== undefined) this.#letGo(digest, layer);
  }

  health(digest: Digest, view = plainView): 'ok' | 'unavailable' {
    const layer = this.#layers.get(digest);
    return layer?.views.has(view) && !layer.health.failing ? 'ok' : 'unavailable';
  }

  /** For /debug/layers. */
  debugLayers(): readonly Readonly<Record<string, unknown>>[] {
    return [...this.#layers].map(([digest, layer]) => ({
      ...layer.describe(),
      face: this.#options.face.kind,
      holders: [...(this.#holders.get(digest)?.values() ?? [])].reduce((sum, count) => sum + count, 0),
    }));
  }

  /** Number of mounted layers. */
  get mountedCount(): number {
    return this.#layers.size;
  }

  /** Unmounts all and syncs their stores. Idempotent. Does not close the face or the scheduler. */
  close(): Promise<void> {
    this.#closing ??= this.#close(() => {
      for (const [digest, layer] of [...this.#layers]) this.#unmount(digest, layer);
    });
    return this.#closing;
  }

  /** Closes the stores and leaves everything mounted. Release the face first, so that no read comes meanwhile. */
  abandon(): Promise<void> {
    this.#closing ??= this.#close(async () => {
      await Promise.allSettled([...this.#layers.values()].map((layer) => layer.abandon()));
    });
    return this.#closing;
  }

  async #close(letGo: () => void | Promise<void>): Promise<void> {
    for (const timer of this.#idleTimers.values()) clearTimeout(timer);
    this.#sources.close();
    await Promise.allSettled(this.#opening.values());
    await letGo();
    await Promise.allSettled(this.#unmounting.values());
    await this.#evictor.close();
    this.#record?.flush();
  }

  #layerFor(request: LayerRequest): Promise<Layer> {
    const { digest } = request;
    const opened = this.#layers.get(digest);
    if (opened !== undefined) {
      this.#watchIdle(digest, opened);
      return Promise.resolve(opened);
    }
    return this.#openOnce(digest, () => this.#sources.open(request));
  }

  #openOnce(digest: Digest, open: () => Promise<OpenedLayer>): Promise<Layer> {
    let opening = this.#opening.get(digest);
    if (opening === undefined) {
      opening = this.#open(digest, open).finally(() => this.#opening.delete(digest));
      this.#opening.set(digest, opening);
    }
    return opening;
  }

  async #open(digest: Digest, open: () => Promise<OpenedLayer>): Promise<Layer> {
    const { face, config, log, scheduler } = this.#options;
    try {
      await this.#unmounting.get(digest);
      const stayed = this.#layers.get(digest);
      if (stayed !== undefined) return stayed;
      const opened = await open().catch(async (error) => {
        if (!isDiskFull(error)) throw error;
        await this.#evictor.makeRoom();
        return await open();
      });
      if (this.#closing !== undefined) {
        await opened.store.close();
        opened.memory.close();
      }
      this.#assertOpen(digest);
      scheduler.noteActivity();
      const layer = new Layer(opened, {
        face,
        record: this.#record,
        noprefetch: config.noprefetch,
        noBackgroundFetch: config.noBackgroundFetch,
        onFetchError: (phase, error) =>
          log.warn({ digest, phase, error: describeError(error) }, 'fetching ahead failed'),
        onComplete: () => log.info({ digest }, 'layer complete'),
        makeRoom: () => this.#evictor.makeRoom(),
      });
      this.#layers.set(digest, layer);
      this.#watchIdle(digest, layer);
      return layer;
    } catch (error) {
      throw asLayerError(digest, error);
    }
  }

  /** Closes the layer again if it has no view. */
  async #show(digest: Digest, layer: Layer, place: LayerPlace | undefined) {
    try {
      return await placeLayer(layer, place, {
        sources: this.#sources,
        opaqueXattr: this.#options.config.opaqueXattr,
        tableOf: (lower, view) => this.#layers.get(lower)?.views.get(view)?.table,
      });
    } catch (error) {
      if (layer.isUnused && this.#layers.get(digest) === layer) this.#unmount(digest, layer);
      throw asLayerError(digest, error);
    }
  }

  /**
   * containerd requests an image's layers one after the other, lowest first, some milliseconds apart; the next ones are
   * mounted meanwhile, and then prefetched where the request or a profile says what. Verification is left to their own
   * requests, which alone have their labels. Layers that fail it or are never requested are unmounted as unused.
   */
  async #mountAhead(request: LayerRequest, isPulled: Promise<void>): Promise<void> {
    const { reference } = request;
    this.#ahead.set(reference, isPulled);
    await delay(answerMs);
    const shown: Promise<unknown>[] = [];
    for (const digest of this.#siblingsToMount(request)) {
      if (this.#closing !== undefined) break;
      if (!this.#isNew(digest)) continue;
      try {
        const layer = await this.#openOnce(digest, () => this.#sources.openAhead(request, digest));
        void this.#sources.hotRangesAbove(request, digest).then((hotRanges) => {
          const { prefetchSizeBytes } = this.#options.config;
          if (hotRanges !== undefined) layer.startFetching(prefetchSizeBytes, hotRanges, isPulled);
        });
        // A tree that depends on the layers below waits for its own request, which knows them.
        if (layer.tree.implied.length + layer.tree.replaced.length === 0)
          shown.push(this.#show(digest, layer, undefined).catch(() => {}));
      } catch (error) {
        // Its own request reports the error. After an ordinary layer the next may still be lazy.
        if (!(error instanceof LayerError && error.reason === 'not-lazy')) break;
      }
      // Requests that came meanwhile go first.
      await yieldTurn();
    }
    await Promise.all(shown);
    this.#ahead.delete(reference);
  }

  /** The siblings above the requested layer that are neither mounted nor on disk, without repetitions. */
  #siblingsToMount({ digest, siblings }: LayerRequest): Digest[] {
    const above = new Set(siblings.slice(siblings.indexOf(digest) + 1));
    above.delete(digest);
    return [...above].filter((sibling) => this.#isNew(sibling) && !this.#sources.isStored(sibling));
  }

  #isNew(digest: Digest): boolean {
    return !this.#layers.has(digest) && !this.#opening.has(digest);
  }

  /** Checks the request's own label, also where the layer was mounted ahead or for another image. */
  #verify(request: LayerRequest, layer: Layer): void {
    const { meta, unverifiableChunkCount } = layer.store;
    try {
      if (this.#sources.verify(request, { ...meta, unverifiableChunkCount })) layer.tocVerified = true;
    } catch (error) {
      // The next attempt asks the registry again.
      this.#watchIdle(request.digest, layer, refusedTtlMs);
      throw error;
    }
  }

  /** A read has failed: checks whether the registry is back. */
  async #probe(layer: Layer, request: LayerRequest, signal: AbortSignal): Promise<void> {
    try {
      await this.#sources.probe(request, signal);
      layer.health.failing = false;
    } catch (error) {
      throw asLayerError(request.digest, error);
    }
  }

  /** Unmounts after a while what no snapshot holds, because its Prepare failed or lost a race. */
  #watchIdle(digest: Digest, layer: Layer, ttlMs = this.#options.config.resolveTtlMs): void {
    this.#stopIdling(digest);
    const timer = setTimeout(() => {
      this.#idleTimers.delete(digest);
      if (this.#layers.get(digest) === layer) this.#letGo(digest, layer);
    }, ttlMs);
    this.#idleTimers.set(digest, timer.unref());
  }

  /** Unmounts the views that no snapshot holds. */
  #letGo(digest: Digest, layer: Layer): void {
    const holders = this.#holders.get(digest);
    if (holders === undefined) {
      this.#unmount(digest, layer);
      return;
    }
    for (const view of layer.views.keys()) {
      if (holders.has(view)) continue;
      layer.detach(view).then(
        () => removeView(layer.store.directory, view),
        (error) => this.#stays(digest, layer, error),
      );
    }
  }

  /** In use by something other than a snapshot: keeps serving it, and tries again later. */
  #stays(digest: Digest, layer: Layer, error: unknown): void {
    const { log, config } = this.#options;
    log.warn({ digest, error: describeError(error) }, 'layer stays mounted');
    if (this.#closing !== undefined) return;
    this.#layers.set(digest, layer);
    this.#watchIdle(digest, layer, Math.max(config.resolveTtlMs, minBusyTtlMs));
  }

  #stopIdling(digest: Digest): void {
    clearTimeout(this.#idleTimers.get(digest));
    this.#idleTimers.delete(digest);
  }

  #unmount(digest: Digest, layer: Layer): void {
    this.#stopIdling(digest);
    this.#layers.delete(digest);
    const done = layer
      .close()
      .catch((error) => this.#stays(digest, layer, error))
      .finally(() => {
        this.#unmounting.delete(digest);
        this.#evictor.evict();
      });
    this.#unmounting.set(digest, done);
  }

  #assertOpen(digest: Digest): void {
    if (this.#closing !== undefined) throw new LayerError('closed', digest, 'the daemon is stopping');
  }
}
