import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openClient, RpcError } from '../api/client.ts';
import type { LayerBuilder } from '../builder/builder.ts';
import { NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, TOC_DIGEST_LABEL } from '../estargz/names.ts';
import type { Face } from '../layers/face.ts';
import type { LayerConfig } from '../layers/layer-config.ts';
import { LayerManager } from '../layers/manager.ts';
import { noMetrics } from '../observability/metrics.ts';
import { noLog } from '../platform/log.ts';
import type { RegistryClient } from '../registry/client.ts';
import { LazyLayers } from '../service/lazy-layers.ts';
import { addService, createServer, listenOnSocket, stopServer } from '../service/server.ts';
import { snapshotsService } from '../service/snapshots.ts';
import { refLabel } from '../snapshots/record.ts';
import { SnapshotStore } from '../snapshots/store.ts';
import type { InflatePool } from '../store/inflate-pool.ts';
import { FetchScheduler } from '../store/scheduler.ts';
import { makeRehearsedLayer, type RehearsedLayer } from './image.ts';
import { rehearseTrees } from './trees.ts';

export interface RehearsalStage {
  /** The daemon's. Its state is kept below it meanwhile. */
  readonly root: string;
  readonly registry: RegistryClient;
  readonly inflaters: InflatePool;
  readonly builder?: LayerBuilder;
  /** Records no mounts: a daemon killed in the middle leaves them to the next one to unmount. */
  readonly face: Face;
  readonly config: LayerConfig;
  readonly overlayOptions: readonly string[];
}

/** Large TOCs, so that V8 compiles what each entry goes through; the last layer's content is fetched as well. */
const layerSizes = [1500, 1500, 60];
const callLimitMs = 5000;
const prefetchLimitMs = 2000;
const prefetchPollMs = 10;

/** How a rehearsal went, for the log. */
export interface Rehearsal {
  readonly durationMs: number;
  /** Why it ended early. */
  readonly error: unknown;
}

/**
 * Pulls a synthetic image through the code of a real pull: a registry on loopback, the snapshots service on a socket, the
 * layers, the face. A process's first pull spends 0.3 to 0.5 s on loading and compiling that code, which is better spent
 * before anybody pulls. Never rejects, and leaves nothing behind. Ends early on `signal`.
 */
export async function rehearse(stage: RehearsalStage, signal: AbortSignal): Promise<Rehearsal> {
  const startedMs = performance.now();
  const directory = join(stage.root, 'rehearsal');
  let error: unknown;
  try {
    // A daemon that was killed in the middle of its own left it.
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { mode: 0o700 });
    const trees = join(directory, 'trees');
    await mkdir(trees);
    const done = await Promise.allSettled([
      pullOnce(stage, directory, signal),
      stage.builder === undefined ? undefined : rehearseTrees(stage.builder, stage.config, trees, signal),
    ]);
    for (const result of done) if (result.status === 'rejected') throw result.reason;
  } catch (caught) {
    // The first pull compiles what it needs.
    error = caught;
  }
  await rm(directory, { recursive: true, force: true }).catch(() => {});
  return { durationMs: performance.now() - startedMs, error };
}

async function pullOnce(stage: RehearsalStage, directory: string, signal: AbortSignal): Promise<void> {
  await using opened = new AsyncDisposableStack();
  const images = layerSizes.map((fileCount, seed) =>
    makeRehearsedLayer(seed, fileCount, seed === layerSizes.length - 1 ? PREFETCH_LANDMARK : NO_PREFETCH_LANDMARK),
  );
  const registry = await serveBlobs(images);
  opened.defer(() => registry.close());
  const scheduler = new FetchScheduler({ maxBackground: 1 });
  opened.defer(() => scheduler.close());
  const store: SnapshotStore = new SnapshotStore({
    root: directory,
    overlayOptions: stage.overlayOptions,
    layerPath: (digest, view) => layers.mounted(digest, view)?.path,
  });
  opened.defer(() => store.close());
  const layers = new LayerManager({
    root: join(directory, 'layers'),
    registry: stage.registry,
    face: stage.face,
    scheduler,
    inflaters: stage.inflaters,
    ...(stage.builder === undefined ? {} : { builder: stage.builder }),
    config: { ...stage.config, noprefetch: false, noBackgroundFetch: true },
    log: noLog,
    metrics: noMetrics.fetch,
  });
  opened.defer(() => layers.close());
  const lazy = new LazyLayers({ store, layers, log: noLog, metrics: noMetrics, mountTimeoutMs: callLimitMs });
  const server = createServer();
  opened.defer(() => stopServer(server, 0));
  const observer = { started: () => {}, finished: () => {} };
  addService(server, 'containerd.services.snapshots.v1.Snapshots', snapshotsService(store, lazy, noLog), observer);
  const address = join(directory, 'rehearsal.sock');
  await listenOnSocket(server, address);
  await callAsContainerd(address, registry.host, images, signal);
  await prefetched(layers, signal);
}

async function prefetched(layers: LayerManager, signal: AbortSignal): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(prefetchLimitMs)]);
  while (!layers.debugLayers().some((layer) => layer.complete))
    await delay(prefetchPollMs, undefined, { signal: deadline });
}

/** The calls of a pull and a container's start, in containerd's order. */
async function callAsContainerd(
  address: string,
  host: string,
  images: readonly RehearsedLayer[],
  signal: AbortSignal,
): Promise<void> {
  const client = openClient('containerd.services.snapshots.v1.Snapshots', address, { timeoutMs: callLimitMs });
  const options = { signal };
  try {
    let parent = '';
    for (const [index, { digest, tocDigest }] of images.entries()) {
      const ref = `rehearsal-${index}`;
      const labels = {
        [refLabel]: ref,
        'containerd.io/snapshot/cri.image-ref': `${host}/rehearsal:1`,
        'containerd.io/snapshot/cri.layer-digest': digest,
        'containerd.io/snapshot/cri.image-layers': images
          .slice(index)
          .map((image) => image.digest)
          .join(','),
        [TOC_DIGEST_LABEL]: tocDigest,
      };
      await ignoringStatus(client.stat({ key: ref }, options));
      await ignoringStatus(client.prepare({ key: `extract ${ref}`, parent, labels }, options));
      for await (const _ of client.list(
        { filters: [`labels."${refLabel}"==${ref},parent==${JSON.stringify(parent)}`] },
        options,
      ))
        break;
      const { info } = await client.stat({ key: ref }, options);
      parent = info!.name;
    }
    await client.prepare({ key: 'container', parent, labels: {} }, options);
    await client.mounts({ key: 'container' }, options);
    await client.usage({ key: parent }, options);
    await client.remove({ key: 'container' }, options);
    await client.cleanup({}, options);
  } finally {
    client.close();
  }
}

/** NOT_FOUND and ALREADY_EXISTS are what containerd gets too. */
async function ignoringStatus(call: Promise<unknown>): Promise<void> {
  await call.catch((error: unknown) => {
    if (!(error instanceof RpcError)) throw error;
  });
}

/** A registry of these blobs on loopback, which answers ranges. */
async function serveBlobs(images: readonly RehearsedLayer[]): Promise<{ host: string; close(): void }> {
  const blobs = new Map(images.map(({ digest, blob }) => [digest as string, blob]));
  const server = createHttpServer((request, response) => {
    const blob = blobs.get(request.url?.split('/').at(-1) ?? '');
    const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '');
    if (blob === undefined || range === null) return void response.writeHead(404).end();
    const [first, last] = [range[1]!, range[2]!];
    const start = first === '' ? Math.max(0, blob.length - Number(last)) : Number(first);
    const end = first === '' || last === '' ? blob.length : Math.min(blob.length, Number(last) + 1);
    response.writeHead(206, {
      'content-range': `bytes ${start}-${end - 1}/${blob.length}`,
      'content-length': end - start,
    });
    response.end(blob.subarray(start, end));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
