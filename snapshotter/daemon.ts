import { flushCompileCache } from 'node:module';
import { join, resolve } from 'node:path';
import { status } from '@grpc/grpc-js';
import { BuilderThread } from './builder/builder.ts';
import type { Config } from './config/config.ts';
import { openFace } from './handover/faces.ts';
import type { Face } from './layers/face.ts';
import { createAccessProfiles } from './layers/access-profiles.ts';
import type { LayerConfig } from './layers/layer-config.ts';
import { LayerManager } from './layers/manager.ts';
import { describeError, type Log } from './platform/log.ts';
import { createCounters } from './observability/counters.ts';
import { type DaemonMetrics, noMetrics } from './observability/metrics.ts';
import type { Prometheus } from './observability/prometheus.ts';
import { type Identity, openStatus } from './observability/status.ts';
import { openRegistry } from './config/registries.ts';
import { rehearse } from './rehearsal/rehearse.ts';
import { CriProxy } from './service/cri.ts';
import { LazyLayers } from './service/lazy-layers.ts';
import { addService, type CallObserver, createServer, listenOnSocket, stopServer } from './service/server.ts';
import { snapshotsService } from './service/snapshots.ts';
import { toStatus } from './service/status.ts';
import { probeOverlayOptions } from './snapshots/overlay-options.ts';
import { SnapshotStore } from './snapshots/store.ts';
import { InflatePool } from './store/inflate-pool.ts';
import { FetchScheduler } from './store/scheduler.ts';

export interface DaemonOptions {
  readonly address: string;
  readonly root: string;
  readonly config: Config;
  /** For the status document. */
  readonly identity: Identity;
  readonly log: Log;
}

export interface Daemon {
  /**
   * Stops; state stays for the next start. 'keep': layers stay mounted in the keeper's care, for a daemon that follows soon
   * (an update). 'take-down': unmounts everything and deletes what removed snapshots left.
   */
  stop(mounts: 'keep' | 'take-down'): Promise<void>;
}

/** Limit for calls in flight when the daemon stops. */
const stopGraceMs = 3000;
/** An orderly exit writes the compile cache too. */
const compileCacheDelayMs = 20_000;

/** Starts the whole daemon, or closes again what it had opened before a failure. */
export async function startDaemon(options: DaemonOptions, signal: AbortSignal): Promise<Daemon> {
  const { address, root, config, log } = options;
  await using opened = new AsyncDisposableStack();
  const prometheus = config.metrics_address === '' || config.no_prometheus ? undefined : await openMetrics();
  if (prometheus !== undefined) opened.defer(() => prometheus.close());
  const metrics = createCounters(prometheus ?? noMetrics);

  const store: SnapshotStore = new SnapshotStore({
    root,
    overlayOptions: await probeOverlayOptions(root, signal),
    layerPath: (digest, view) => layers.mounted(digest, view)?.path,
  });
  opened.defer(() => store.close());
  // The store holds the lock on the root: from here on no other daemon writes the file.
  let live: { readonly face: Face; readonly layers: LayerManager } | undefined;
  const counters = () => ({
    layersMounted: live?.layers.mountedCount ?? 0,
    readHits: live?.face.readHits?.() ?? null,
    ...metrics.values,
  });
  const status = openStatus(root, options.identity, counters, log);
  opened.defer(() => status.close());
  const { client: registry, criKeychain } = await openRegistry(config, log, (server) => metrics.wrongBytes(server));
  opened.defer(() => registry.close());
  const scheduler = new FetchScheduler({ maxBackground: config.max_concurrency });
  opened.defer(() => scheduler.close());
  const inflaters = new InflatePool();
  opened.defer(() => inflaters.close());
  const builder = new BuilderThread();
  opened.defer(() => builder.close());
  const mounts = await openFace({ root, config, log, builder, onChange: (change) => status.change(change) });
  const { face } = mounts;
  // A start that fails leaves what it took over to the next one.
  let keepMounts = mounts.isAdopted;
  opened.defer(() => (keepMounts ? mounts.leave() : mounts.takeDown()));
  const layerConfig: LayerConfig = {
    noprefetch: config.noprefetch,
    prefetchSizeBytes: config.prefetch_size,
    noBackgroundFetch: config.no_background_fetch,
    disableVerification: config.disable_verification,
    allowNoVerification: config.allow_no_verification,
    resolveTtlMs: config.resolve_result_entry_ttl_sec * 1000,
    cacheLimitBytes: config.cache.limit_bytes,
    treeMemoryBytes: config.cache.tree_memory_bytes,
    adaptiveFetch: config.cache.adaptive_fetch,
    opaqueXattr: store.overlayOptions.includes('userxattr') ? 'user' : 'trusted',
    ...(config.record_accesses === '' ? {} : { recordAccesses: config.record_accesses }),
  };
  const ttlMs = layerConfig.resolveTtlMs;
  const profiles =
    config.access_profiles && !config.noprefetch ? createAccessProfiles({ registry, log, ttlMs }) : undefined;
  opened.defer(() => profiles?.close());
  const layers = new LayerManager({
    root: join(root, 'layers'),
    registry,
    profiles,
    face,
    scheduler,
    inflaters,
    builder,
    config: layerConfig,
    log,
    metrics: metrics.fetch,
  });
  live = { face, layers };
  opened.defer(async () => {
    if (keepMounts) await mounts.leave();
    await (keepMounts ? layers.abandon() : layers.close());
  });

  const lazy = new LazyLayers({
    store,
    layers,
    log,
    metrics: {
      ...metrics,
      lazyMount(durationMs) {
        metrics.lazyMount(durationMs);
        status.change({});
      },
      fallback(fallback) {
        metrics.fallback(fallback);
        const { reason, error = null, image = null, digest = null } = fallback;
        status.addFallback({ reason, error, image, digest });
      },
    },
    mountTimeoutMs: 60_000,
  });
  const lost = await lazy.restore(signal);
  const { allow_invalid_mounts_on_restart: mayLack, lazy_restore_on_restart: mayWait } = config.snapshotter;
  if (lost.length > 0 && !mayLack && !mayWait) {
    throw new Error(
      `${lost.length} lazy layers of earlier snapshots cannot be mounted again, the first is ${lost[0]}; make their registry ` +
        'reachable, or set allow_invalid_mounts_on_restart in [snapshotter]',
    );
  }
  await face.resume?.();
  for (const path of await store.cleanup()) log.warn({ path }, 'leftover directory could not be deleted');

  const server = createServer();
  opened.defer(() => stopServer(server, stopGraceMs));
  const rehearsing = new AbortController();
  const observer = observeCalls(metrics, log, (method) => {
    // A pull has begun, which needs the processor.
    if (method === 'Prepare') rehearsing.abort();
  });
  addService(server, 'containerd.services.snapshots.v1.Snapshots', snapshotsService(store, lazy, log), observer);
  let criPath: string | null = null;
  if (criKeychain !== undefined) {
    const { image_service_path: backend, listen_path: ownPath } = config.cri_keychain;
    const proxy = new CriProxy(backend, criKeychain, log);
    opened.defer(() => proxy.close());
    const criServer = ownPath === '' || resolve(ownPath) === address ? server : createServer();
    proxy.register(criServer);
    if (criServer !== server) {
      opened.defer(() => stopServer(criServer, stopGraceMs));
      await listenOnSocket(criServer, ownPath);
      criPath = ownPath;
    }
  }
  const { readHits } = face;
  if (readHits !== undefined) prometheus?.observeReadHits(readHits);
  const metricsAddress =
    (await prometheus?.listen(config.metrics_address, { layers, status: () => status.document() })) ?? null;
  await listenOnSocket(server, address);
  // Delayed, so that the cache includes the code of a first mount.
  const flushing = setTimeout(flushCompileCache, compileCacheDelayMs).unref();
  opened.defer(() => clearTimeout(flushing));
  const { recordAccesses: _, ...rehearsedConfig } = layerConfig;
  const rehearsal = rehearse(
    {
      root,
      registry,
      inflaters,
      builder,
      face: face.unrecorded(),
      config: rehearsedConfig,
      overlayOptions: store.overlayOptions,
    },
    rehearsing.signal,
  ).then(({ durationMs, error }) => {
    log.debug(
      { durationMs: Math.round(durationMs), ...(error === undefined ? {} : { error: describeError(error) }) },
      'first pull rehearsed',
    );
  });
  opened.defer(async () => {
    rehearsing.abort();
    await rehearsal;
  });
  status.change({ state: 'serving', listening: { grpc: address, cri: criPath, metrics: metricsAddress } });
  log.info({ address, root, face: face.kind, pid: process.pid, metrics: metricsAddress }, 'serving');

  keepMounts = false;
  const resources = opened.move();
  return {
    async stop(how) {
      status.change({ state: 'stopping' });
      keepMounts = how === 'keep' && layers.mountedCount > 0;
      if (how === 'take-down') await store.cleanup();
      await resources.disposeAsync();
    },
  };
}

/** prom-client is loaded only where metrics are configured. */
async function openMetrics(): Promise<Prometheus> {
  const { Prometheus } = await import('./observability/prometheus.ts');
  return new Prometheus();
}

function observeCalls(metrics: DaemonMetrics, log: Log, onStart: (method: string) => void): CallObserver {
  return {
    started(method) {
      onStart(method);
      metrics.callStarted(method);
    },
    finished(method, durationMs, error) {
      const { code, details } = error === undefined ? { code: status.OK, details: '' } : toStatus(error);
      metrics.callFinished(method, status[code], durationMs);
      const fields = { method, durationMs: Math.round(durationMs * 10) / 10, code: status[code] };
      if (code === status.INTERNAL || code === status.RESOURCE_EXHAUSTED)
        log.error({ ...fields, error: details }, 'call failed');
      else log.debug(error === undefined ? fields : { ...fields, error: details }, 'call');
    },
  };
}
