import type { LayerPlace, LayerRequest, MountedLayer, RestoredLayer } from '../layers/layer-request.ts';
import type { LayerManager } from '../layers/manager.ts';
import { baseOf, lowestView, plainView } from '../layers/views.ts';
import { describeError, type Log } from '../platform/log.ts';
import type { DaemonMetrics } from '../observability/metrics.ts';
import type { Digest } from '../registry/digest.ts';
import { SnapshotError } from '../snapshots/error.ts';
import type { Labels, RemoteLayer, StackedLayer } from '../snapshots/record.ts';
import type { SnapshotStore } from '../snapshots/store.ts';
import { readLayerLabels, remoteLabel, remoteLabelValue } from './labels.ts';

/** What the service needs of the layers; tests replace it. */
export type LayerSource = Pick<LayerManager, 'mount' | 'restore' | 'acquire' | 'release' | 'health'>;

export interface LazyLayersOptions {
  readonly store: SnapshotStore;
  readonly layers: LayerSource;
  readonly log: Log;
  readonly metrics: DaemonMetrics;
  /** Limit on mounting a layer before its pull falls back. */
  readonly mountTimeoutMs: number;
}

/** Shorter than for a pull: a container's start waits for it. */
const maxRemountMs = 10_000;

/** Decides whether a Prepare becomes a lazily mounted, committed snapshot or an ordinary pull. */
export class LazyLayers {
  readonly #options: LazyLayersOptions;

  constructor(options: LazyLayersOptions) {
    this.#options = options;
  }

  /**
   * True: the snapshot `ref` on `parent` is committed and lazily mounted; answer ALREADY_EXISTS. False: containerd is to pull
   * and unpack the layer; the reason was counted and logged.
   */
  async tryPrepare(ref: string, parent: string, labels: Labels, signal: AbortSignal): Promise<boolean> {
    const { store, layers, log, metrics, mountTimeoutMs } = this.#options;
    const request = readLayerLabels(labels);
    if (request === undefined || typeof request === 'string') {
      this.#fallBack(request === undefined ? 'no-labels' : 'bad-labels', request, ref, undefined);
      return false;
    }
    const startedMs = performance.now();
    let mounted: MountedLayer;
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(mountTimeoutMs)]);
      mounted = await layers.mount(request, limit, {
        isLowest: parent === '',
        below: async () => {
          await this.requireChain(parent, limit);
          return store.layersBelow(parent);
        },
      });
    } catch (error) {
      signal.throwIfAborted();
      this.#fallBack(reasonOf(error), describeError(error), ref, request);
      return false;
    }
    const kept = { ...labels, [remoteLabel]: remoteLabelValue };
    const { digest, view } = mounted;
    layers.acquire(digest, view);
    let isNew = false;
    try {
      // What the request says of other layers serves this pull alone.
      const { tocSizes: _sizes, packedTocSizes: _packed, hotRangesAbove: _above, ...lasting } = request;
      isNew = store.commitRemote(ref, parent, kept, { digest, view, request: lasting });
    } finally {
      if (!isNew) layers.release(digest, view);
    }
    // A concurrent Prepare has counted this mount already.
    if (!isNew) return true;
    const durationMs = Math.round(performance.now() - startedMs);
    metrics.lazyMount(durationMs);
    log.info({ digest, image: request.reference, ref, durationMs }, 'layer mounted lazily');
    return true;
  }

  /** Throws UNAVAILABLE unless every lazy layer under `key` can serve; mounts lost ones again first. */
  async requireChain(key: string, signal: AbortSignal): Promise<void> {
    const { store, layers } = this.#options;
    const lost = uniqueLayers(store.remoteChain(key)).filter(
      ({ digest, view }) => layers.health(digest, view) !== 'ok',
    );
    const [plain, dependent] = [lost.filter((layer) => !isDependent(layer)), lost.filter(isDependent)];
    await Promise.all(plain.map((layer) => this.#remount(key, layer, signal)));
    // Bottom up, because each inherits attributes from the layers below it; the chain lists the lowest last.
    for (const layer of dependent.reverse()) await this.#remount(key, layer, signal);
  }

  async #remount(key: string, layer: StackedLayer, signal: AbortSignal): Promise<void> {
    const { layers, log, mountTimeoutMs } = this.#options;
    const { digest, request } = layer;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(Math.min(mountTimeoutMs, maxRemountMs))]);
    try {
      await layers.mount(request, limit, this.#placeOf(layer));
      log.info({ digest }, 'layer mounted again');
    } catch (error) {
      const problem = `${key}: layer ${digest} cannot be served: ${describeError(error)}`;
      throw new SnapshotError('unavailable', key, problem, error);
    }
  }

  /** The place of a recorded snapshot's layer; the layers below it are mounted already. */
  #placeOf({ view = '', parent }: StackedLayer): LayerPlace {
    const { store } = this.#options;
    return { view, isLowest: parent === '', below: async () => store.layersBelow(parent) };
  }

  /** Releases a removed snapshot's hold on its layer. */
  release({ digest, view }: RemoteLayer): void {
    this.#options.layers.release(digest, view);
  }

  /**
   * After a restart, mounts the layers of committed snapshots again. Returns the digests of those that failed.
   */
  async restore(signal: AbortSignal): Promise<readonly Digest[]> {
    const { store, layers, log } = this.#options;
    const records = store.remoteLayers();
    const restored = uniqueLayers(records).map((layer) => ({
      request: layer.request,
      place: this.#placeOf(layer),
      layer,
    }));
    const failures = await layers.restore(restored, signal);
    const lost: Digest[] = [];
    for (const { layer, error } of failures) {
      const { digest } = layer.request;
      // Recomputes the inherited attributes, now that the layers below are mounted.
      const retried = isDependent({ view: layer.place?.view }) && (await this.#isRemounted(layer, signal));
      if (retried) continue;
      log.error({ digest, error: describeError(error) }, 'layer not restored');
      lost.push(digest);
    }
    for (const { digest, view } of records) layers.acquire(digest, view);
    if (restored.length > 0)
      log.info({ layers: restored.length - lost.length, failed: lost.length }, 'layers restored');
    return lost;
  }

  #isRemounted({ request, place }: RestoredLayer, signal: AbortSignal): Promise<boolean> {
    return this.#options.layers.mount({ ...request, siblings: [] }, signal, place).then(
      () => true,
      () => false,
    );
  }

  #fallBack(reason: string, error: string | undefined, ref: string, request: LayerRequest | undefined): void {
    const { digest, reference: image } = request ?? {};
    this.#options.metrics.fallback({ reason, error, digest, image });
    this.#options.log.warn({ reason, error, digest, image, ref }, 'layer will be pulled and unpacked');
  }
}

/** Each view of each layer once, in order of first occurrence. */
function uniqueLayers(layers: readonly StackedLayer[]): StackedLayer[] {
  return [
    ...new Map(layers.toReversed().map((layer) => [`${layer.digest} ${layer.view ?? ''}`, layer])).values(),
  ].reverse();
}

/** Whether the layer's tree inherits attributes from the layers below. */
function isDependent({ view }: { readonly view?: string | undefined }): boolean {
  return view !== undefined && baseOf(view) !== plainView && view !== lowestView;
}

/** LayerError's reason, 'timeout' for a deadline, 'internal' for anything else. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return 'timeout';
  const reason = (error as { reason?: unknown } | undefined)?.reason;
  return typeof reason === 'string' ? reason : 'internal';
}
