import { flushCompileCache } from 'node:module';
import { join, resolve } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { Config } from './config/config.ts';
import { openFace } from './handover/faces.ts';
import { LayerManager } from './layers/manager.ts';
import type { Log } from './platform/log.ts';
import { type DaemonMetrics, noMetrics } from './observability/metrics.ts';
import type { Prometheus } from './observability/prometheus.ts';
import { openRegistry } from './config/registries.ts';
import { warmUp } from './registry/warm-up.ts';
import { CriProxy } from './service/cri.ts';
import { LazyLayers } from './service/lazy-layers.ts';
import { addService, type CallObserver, createServer, listenOnSocket, stopServer } from './service/server.ts';
import { snapshotsService } from './service/snapshots.ts';
import { toStatus } from './service/status.ts';
import { probeOverlayOptions } from './snapshots/overlay-options.ts';
import { SnapshotStore } from './snapshots/store.ts';
import { FetchScheduler } from './store/scheduler.ts';

export interface DaemonOptions {
  readonly address: string;
  readonly root: string;
  readonly config: Config;
  readonly log: Log;
}

export interface Daemon {
  /**
   * Ends; state stays for the next start. 'keep': layers stay mounted in the keeper's care, for the daemon that follows
   * soon (an update). 'take-down': unmounts everything and deletes what removed snapshots left.
   */
  stop(mounts: 'keep' | 'take-down'): Promise<void>;
}

/** How long calls under way may still take when the daemon stops. */
const stopGraceMs = 3000;
/** An orderly end writes the compile cache as well. */
const compileCacheDelayMs = 20_000;

/** Brings up the whole daemon, or nothing: what was opened before a failure is closed again. */
export async function startDaemon({ address, root, config, log }: DaemonOptions, signal: AbortSignal): Promise<Daemon> {
  await using opened = new AsyncDisposableStack();
  const metrics = config.metrics_address === '' || config.no_prometheus ? undefined : await openMetrics();
  if (metrics !== undefined) opened.defer(() => metrics.close());

  const store: SnapshotStore = new SnapshotStore({
    root,
    overlayOptions: await probeOverlayOptions(root, signal),
    layerPath: (digest) => layers.mounted(digest)?.path,
  });
  opened.defer(() => store.close());
  const { client: registry, criKeychain } = await openRegistry(config, log);
  opened.defer(() => registry.close());
  await warmUp(registry);
  const scheduler = new FetchScheduler({ maxBackground: config.max_concurrency });
  opened.defer(() => scheduler.close());
  const mounts = await openFace(root, config, log);
  const { face } = mounts;
  // A start that fails leaves what it took over to the next.
  let keepMounts = mounts.isAdopted;
  opened.defer(() => (keepMounts ? mounts.leave() : mounts.takeDown()));
  const layers = new LayerManager({
    root: join(root, 'layers'),
    registry,
    face,
    scheduler,
    config: {
      noprefetch: config.noprefetch,
      prefetchSizeBytes: config.prefetch_size,
      noBackgroundFetch: config.no_background_fetch,
      disableVerification: config.disable_verification,
      allowNoVerification: config.allow_no_verification,
      resolveTtlMs: config.resolve_result_entry_ttl_sec * 1000,
      cacheLimitBytes: config.cache.limit_bytes,
      adaptiveFetch: config.cache.adaptive_fetch,
      opaqueXattr: store.overlayOptions.includes('userxattr') ? 'user' : 'trusted',
      ...(config.record_accesses === '' ? {} : { recordAccesses: config.record_accesses }),
    },
    log,
    metrics: (metrics ?? noMetrics).fetch,
  });
  opened.defer(async () => {
    if (keepMounts) await mounts.leave();
    await (keepMounts ? layers.abandon() : layers.close());
  });

  const lazy = new LazyLayers({ store, layers, log, metrics: metrics ?? noMetrics, mountTimeoutMs: 60_000 });
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
  const observer = observeCalls(metrics ?? noMetrics, log);
  addService(server, 'containerd.services.snapshots.v1.Snapshots', snapshotsService(store, lazy, log), observer);
  if (criKeychain !== undefined) {
    const { image_service_path: backend, listen_path: ownPath } = config.cri_keychain;
    const proxy = new CriProxy(backend, criKeychain, log);
    opened.defer(() => proxy.close());
    const criServer = ownPath === '' || resolve(ownPath) === address ? server : createServer();
    proxy.register(criServer);
    if (criServer !== server) {
      opened.defer(() => stopServer(criServer, stopGraceMs));
      await listenOnSocket(criServer, ownPath);
    }
  }
  const { readHits } = face;
  if (readHits !== undefined) metrics?.observeReadHits(readHits);
  const metricsPort = await metrics?.listen(config.metrics_address, layers);
  await listenOnSocket(server, address);
  // Not at once: what is compiled by then includes the path of a mount, which the next start has ready then.
  const flushing = setTimeout(flushCompileCache, compileCacheDelayMs).unref();
  opened.defer(() => clearTimeout(flushing));
  log.info({ address, root, face: face.kind, pid: process.pid, metricsPort }, 'serving');

  keepMounts = false;
  const resources = opened.move();
  return {
    async stop(how) {
      keepMounts = how === 'keep' && layers.mountedCount > 0;
      if (how === 'take-down') await store.cleanup();
      await resources.disposeAsync();
    },
  };
}

/** prom-client is loaded only where somebody asks for metrics. */
async function openMetrics(): Promise<Prometheus> {
  const { Prometheus } = await import('./observability/prometheus.ts');
  return new Prometheus();
}

function observeCalls(metrics: DaemonMetrics, log: Log): CallObserver {
  return {
    started: (method) => metrics.callStarted(method),
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
