import type { LayerRequest, MountedLayer } from '../layers/layer-request.ts';
import type { LayerManager } from '../layers/manager.ts';
import { describeError, type Log } from '../platform/log.ts';
import type { DaemonMetrics } from '../observability/metrics.ts';
import type { Digest } from '../registry/digest.ts';
import { SnapshotError } from '../snapshots/error.ts';
import type { Labels } from '../snapshots/record.ts';
import type { SnapshotStore } from '../snapshots/store.ts';
import { readLayerLabels, remoteLabel, remoteLabelValue } from './labels.ts';

/** What the service needs of the layers; tests of its rules stand in for it. */
export type LayerSource = Pick<LayerManager, 'mount' | 'restore' | 'acquire' | 'release' | 'health'>;

export interface LazyLayersOptions {
  readonly store: SnapshotStore;
  readonly layers: LayerSource;
  readonly log: Log;
  readonly metrics: DaemonMetrics;
  /** How long a layer may take to be mounted before its pull falls back. */
  readonly mountTimeoutMs: number;
}

/** A container's start waits for it, and is told sooner than a pull would be. */
const mostRemountMs = 10_000;

/** The rules by which a Prepare becomes a lazily mounted, committed snapshot, or an ordinary pull. */
export class LazyLayers {
  readonly #options: LazyLayersOptions;

  constructor(options: LazyLayersOptions) {
    this.#options = options;
  }

  /**
   * True: the snapshot `ref` on `parent` stands, lazily mounted, and the caller answers ALREADY_EXISTS. False: it is to
   * be pulled and unpacked; the reason was counted and logged.
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
      mounted = await layers.mount(request, AbortSignal.any([signal, AbortSignal.timeout(mountTimeoutMs)]));
    } catch (error) {
      signal.throwIfAborted();
      this.#fallBack(reasonOf(error), describeError(error), ref, request);
      return false;
    }
    const kept = { ...labels, [remoteLabel]: remoteLabelValue };
    const record = { digest: request.digest, rootOwner: mounted.rootOwner, request };
    layers.acquire(request.digest);
    let isNew = false;
    try {
      isNew = store.commitRemote(ref, parent, kept, record);
    } finally {
      if (!isNew) layers.release(request.digest);
    }
    // Whoever was second joined a mount that is counted already.
    if (!isNew) return true;
    const durationMs = Math.round(performance.now() - startedMs);
    metrics.lazyMount(durationMs);
    log.info({ digest: request.digest, image: request.reference, ref, durationMs }, 'layer mounted lazily');
    return true;
  }

  /** Throws UNAVAILABLE unless every lazy layer under `key` can serve; one that fell off is mounted again first. */
  async requireChain(key: string, signal: AbortSignal): Promise<void> {
    const { store, layers, log, mountTimeoutMs } = this.#options;
    const chain = new Map(store.remoteChain(key).map((layer) => [layer.digest, layer]));
    await Promise.all(
      [...chain.values()].map(async ({ digest, request }) => {
        if (layers.health(digest) === 'ok') return;
        try {
          await layers.mount(
            request,
            AbortSignal.any([signal, AbortSignal.timeout(Math.min(mountTimeoutMs, mostRemountMs))]),
          );
          log.info({ digest }, 'layer mounted again');
        } catch (error) {
          throw new SnapshotError(
            'unavailable',
            key,
            `${key}: layer ${digest} cannot be served: ${describeError(error)}`,
            error,
          );
        }
      }),
    );
  }

  /** Drops a removed snapshot's hold on its layer. */
  release(digest: Digest): void {
    this.#options.layers.release(digest);
  }

  /**
   * Mounts again, after a restart, what committed snapshots stand on. Returns the digests that could not be.
   */
  async restore(signal: AbortSignal): Promise<readonly Digest[]> {
    const { store, layers, log } = this.#options;
    const records = store.remoteLayers();
    const requests = new Map(records.map((record) => [record.digest, record.request]));
    const failures = await layers.restore([...requests.values()], signal);
    for (const { digest, error } of failures) log.error({ digest, error: describeError(error) }, 'layer not restored');
    for (const record of records) layers.acquire(record.digest);
    if (requests.size > 0)
      log.info({ layers: requests.size - failures.length, failed: failures.length }, 'layers restored');
    return failures.map((failure) => failure.digest);
  }

  #fallBack(reason: string, error: string | undefined, ref: string, request: LayerRequest | undefined): void {
    const { digest, reference: image } = request ?? {};
    this.#options.metrics.fallback({ reason, error, digest, image });
    this.#options.log.warn({ reason, error, digest, image, ref }, 'layer will be pulled and unpacked');
  }
}

/** LayerError's reason; a deadline is 'timeout', anything else 'internal'. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return 'timeout';
  const reason = (error as { reason?: unknown } | undefined)?.reason;
  return typeof reason === 'string' ? reason : 'internal';
}
