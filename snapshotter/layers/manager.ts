import { setTimeout as delay, setImmediate as yieldTurn } from 'node:timers/promises';
import { untilAborted } from '../platform/abort.ts';
import { describeError } from '../platform/log.ts';
import type { Digest } from '../registry/digest.ts';
import { isDiskFull } from '../store/error.ts';
import { type AccessRecord, createAccessRecord } from './access-record.ts';
import { asLayerError, LayerError } from './error.ts';
import { evictLayers, reclaimLeaks } from './eviction.ts';
import type { Face } from './face.ts';
import { Layer } from './layer.ts';
import type { LayerPlace, LayerRequest, MountedLayer, RestoredLayer } from './layer-request.ts';
import { LayerSources, type LayerSourcesOptions, type OpenedLayer } from './layer-sources.ts';
import { placeLayer } from './placement.ts';
import { plainView, removeView } from './views.ts';

export interface LayerManagerOptions extends LayerSourcesOptions {
  readonly face: Face;
}

/** How long a layer that its request refused is kept, for others who may have it in hand. */
const refusedTtlMs = 1000;

/** How soon a layer that was in use when it should have been unmounted is tried again, at the earliest. */
const leastBusyTtlMs = 1000;

/** How long growth of the stores is gathered before the limit is checked. */
const growthDelayMs = 2000;

/** Time enough for an answer to be on its way. */
const answerMs = 2;

/** All layers of the daemon: from the first request to mount one to the deletion of its cache. */
export class LayerManager {
  readonly #options: LayerManagerOptions;
  readonly #sources: LayerSources;
  readonly #record: AccessRecord | undefined;
  readonly #layers = new Map<Digest, Layer>();
  /** How many snapshots stand on each view of a layer, mounted or not: what could not be restored may be mounted later. */
  readonly #holders = new Map<Digest, Map<string, number>>();
  readonly #opening = new Map<Digest, Promise<Layer>>();
  readonly #unmounting = new Map<Digest, Promise<void>>();
  readonly #idleTimers = new Map<Digest, NodeJS.Timeout>();
  /** Images whose layers are being mounted ahead of their requests. */
  readonly #ahead = new Set<string>();
  #evicting: Promise<void> = Promise.resolve();
  #isEvictionDue = false;
  #makingRoom: Promise<void> | undefined;
  #growthTimer: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: LayerManagerOptions) {
    this.#options = options;
    const { config, log } = options;
    this.#sources = new LayerSources(options, () => this.#noteGrowth());
    if (config.recordAccesses !== undefined) {
      const file = config.recordAccesses;
      this.#record = createAccessRecord(file, (error) =>
        log.warn({ file, error: describeError(error) }, 'accesses not recorded'),
      );
    }
  }

  /**
   * Mounts a layer, from the local store if it is there, else from its registry, or joins a mount under way. The abort
   * of `signal` ends the wait, not the mount. Nothing of its content is waited for. Without a place the layer's plain tree
   * is shown. Throws LayerError.
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
    const { view, path } = await untilAborted(this.#show(digest, layer, place), signal);
    layer.startFetching(request.prefetchSizeBytes ?? this.#options.config.prefetchSizeBytes);
    if (isFirst) void this.#mountAhead(request);
    return { digest, view, path };
  }

  /** Mounts again what earlier snapshots stand on; nothing is asked of a registry if the store is whole. Never throws for one. */
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
    this.#evict();
    return results.filter((result) => result !== undefined);
  }

  mounted(digest: string, view = plainView): MountedLayer | undefined {
    const attached = this.#layers.get(digest as Digest)?.views.get(view);
    return attached === undefined ? undefined : { digest: digest as Digest, view, path: attached.path };
  }

  /** A snapshot stands on this view of the layer: it stays mounted until as many releases. */
  acquire(digest: Digest, view = plainView): void {
    const holders = this.#holders.get(digest) ?? new Map<string, number>();
    holders.set(view, (holders.get(view) ?? 0) + 1);
    this.#holders.set(digest, holders);
  }

  /** The last release unmounts the view, and the last of any view the layer; the content stays as a cache within its limit. */
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

  /** Every layer and how much of it is here. */
  debugLayers(): readonly Readonly<Record<string, unknown>>[] {
    return [...this.#layers].map(([digest, layer]) => ({
      ...layer.describe(),
      face: this.#options.face.kind,
      holders: [...(this.#holders.get(digest)?.values() ?? [])].reduce((sum, count) => sum + count, 0),
    }));
  }

  /** Layers mounted now. */
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

  /** Syncs the stores and leaves all mounted: the face is to be released first, so that nothing is asked meanwhile. */
  abandon(): Promise<void> {
    this.#closing ??= this.#close(async () => {
      await Promise.allSettled([...this.#layers.values()].map((layer) => layer.abandon()));
    });
    return this.#closing;
  }

  async #close(letGo: () => void | Promise<void>): Promise<void> {
    for (const timer of [this.#growthTimer, ...this.#idleTimers.values()]) clearTimeout(timer);
    this.#sources.close();
    await Promise.allSettled(this.#opening.values());
    await letGo();
    await Promise.allSettled(this.#unmounting.values());
    await this.#evicting;
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
        await this.#makeRoom();
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
        makeRoom: () => this.#makeRoom(),
      });
      this.#layers.set(digest, layer);
      this.#watchIdle(digest, layer);
      return layer;
    } catch (error) {
      throw asLayerError(digest, error);
    }
  }

  /** A layer of which nothing can be shown is not kept. */
  async #show(digest: Digest, layer: Layer, place: LayerPlace | undefined) {
    try {
      return await placeLayer(layer, place, {
        sources: this.#sources,
        tableOf: (lower, view) => this.#layers.get(lower)?.views.get(view)?.table,
      });
    } catch (error) {
      if (layer.isUnused && this.#layers.get(digest) === layer) this.#unmount(digest, layer);
      throw asLayerError(digest, error);
    }
  }

  /**
   * Containerd asks for an image's layers bottom up, one after the other, and takes some milliseconds between two: in
   * these the next ones are mounted. Whether one may be used, its own request decides, which alone has its label; what is
   * refused or never asked for is unmounted as unused.
   */
  async #mountAhead(request: LayerRequest): Promise<void> {
    const { reference } = request;
    this.#ahead.add(reference);
    // The answer to the request goes out first.
    await delay(answerMs);
    for (const digest of this.#siblingsToMount(request)) {
      if (this.#closing !== undefined) break;
      if (!this.#isNew(digest)) continue;
      try {
        const layer = await this.#openOnce(digest, () => this.#sources.openAhead(request, digest));
        // What its tree takes from the layers below, its own request decides.
        if (layer.tree.implied.length === 0) await this.#show(digest, layer, undefined);
      } catch (error) {
        // Its own request will say why. An ordinary layer says nothing of the next.
        if (!(error instanceof LayerError && error.reason === 'not-lazy')) break;
      }
      // What containerd has sent meanwhile goes first.
      await yieldTurn();
    }
    this.#ahead.delete(reference);
  }

  /** Those above the requested one that are neither mounted nor on disk, each once. */
  #siblingsToMount({ digest, siblings }: LayerRequest): Digest[] {
    const above = new Set(siblings.slice(siblings.indexOf(digest) + 1));
    above.delete(digest);
    return [...above].filter((sibling) => this.#isNew(sibling) && !this.#sources.isStored(sibling));
  }

  #isNew(digest: Digest): boolean {
    return !this.#layers.has(digest) && !this.#opening.has(digest);
  }

  /** Whoever joined, or found the layer mounted ahead or for another image, is held to their own label. */
  #verify(request: LayerRequest, layer: Layer): void {
    const { meta, unverifiableChunkCount } = layer.store;
    try {
      if (this.#sources.verify(request, meta.tocDigest, unverifiableChunkCount)) layer.tocVerified = true;
    } catch (error) {
      // The next attempt is to ask the registry again.
      this.#watchIdle(request.digest, layer, refusedTtlMs);
      throw error;
    }
  }

  /** A read failed before: is the registry back? */
  async #probe(layer: Layer, request: LayerRequest, signal: AbortSignal): Promise<void> {
    try {
      await this.#sources.probe(request, signal);
      layer.health.failing = false;
    } catch (error) {
      throw asLayerError(request.digest, error);
    }
  }

  /** What is mounted and no snapshot takes up (its Prepare failed, or lost a race) is not kept for ever. */
  #watchIdle(digest: Digest, layer: Layer, ttlMs = this.#options.config.resolveTtlMs): void {
    this.#stopIdling(digest);
    const timer = setTimeout(() => {
      this.#idleTimers.delete(digest);
      if (this.#layers.get(digest) === layer) this.#letGo(digest, layer);
    }, ttlMs);
    this.#idleTimers.set(digest, timer.unref());
  }

  /** Unmounts what no snapshot stands on. */
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

  /** In use by something that is no snapshot of ours: it goes on being served, until that lets go of it. */
  #stays(digest: Digest, layer: Layer, error: unknown): void {
    const { log, config } = this.#options;
    log.warn({ digest, error: describeError(error) }, 'layer stays mounted');
    if (this.#closing !== undefined) return;
    this.#layers.set(digest, layer);
    this.#watchIdle(digest, layer, Math.max(config.resolveTtlMs, leastBusyTtlMs));
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
        this.#evict();
      });
    this.#unmounting.set(digest, done);
  }

  /** Layers that are filled tell it every few seconds, each; to look at all of them takes some calls. */
  #noteGrowth(): void {
    this.#growthTimer ??= setTimeout(() => {
      this.#growthTimer = undefined;
      this.#evict();
    }, growthDelayMs).unref();
  }

  /** Whenever the stores may have outgrown the limit; what is under way and has not begun to look does for this one too. */
  #evict(): void {
    if (this.#isEvictionDue) return;
    this.#isEvictionDue = true;
    this.#evicting = this.#evicting.then(() => {
      this.#isEvictionDue = false;
      return this.#evictDownTo(this.#options.config.cacheLimitBytes);
    });
  }

  /** The disk is full: whatever nobody uses goes. */
  #makeRoom(): Promise<void> {
    this.#makingRoom ??= this.#evicting.then(() => {
      this.#makingRoom = undefined;
      return this.#evictDownTo(0);
    });
    this.#evicting = this.#makingRoom;
    return this.#makingRoom;
  }

  async #evictDownTo(limitBytes: number): Promise<void> {
    const { root, log } = this.#options;
    // Those that snapshots stand on, mounted or not: without the registry nothing else could bring them back.
    const isHeld = (digest: Digest): boolean =>
      [this.#layers, this.#opening, this.#unmounting, this.#holders].some((those) => those.has(digest));
    try {
      const evicted = await evictLayers(root, limitBytes, isHeld);
      if (evicted.length > 0) log.info({ layers: evicted.length }, 'unused layers deleted');
    } catch (error) {
      log.warn({ error: describeError(error) }, 'unused layers not deleted');
    }
  }

  #assertOpen(digest: Digest): void {
    if (this.#closing !== undefined) throw new LayerError('closed', digest, 'the daemon is stopping');
  }
}
