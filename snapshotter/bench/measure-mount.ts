/**
 * Mounts one layer of many entries as the daemon does, in a process of its own, and prints as JSON what that took:
 *
 *     measure-mount.ts make ENTRIES FILE             writes the TOC, so that its making is not in the other process
 *     measure-mount.ts mount fuse|erofs FILE DIRECTORY
 *
 * Time runs from the TOC's bytes at hand to the mounted directory; memory is the growth of the peak over what the process
 * held before. The manager, the store and the face are the daemon's own; only the registry is this process's memory.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ErofsServer } from '../erofs/server.ts';
import { FuseServer } from '../fuse/server.ts';
import { createErofsFace } from '../layers/erofs-face.ts';
import type { Face } from '../layers/face.ts';
import { createFuseFace } from '../layers/fuse-face.ts';
import { LayerManager } from '../layers/manager.ts';
import type { BlobSource } from '../registry/blob.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import { noFetchMetrics } from '../store/metrics.ts';
import { InflatePool } from '../store/inflate-pool.ts';
import { FetchScheduler } from '../store/scheduler.ts';
import { makeLargeToc } from './large-toc.ts';
import { defaultLayerConfig } from './layer-config.ts';

interface StoredToc {
  readonly blobSizeBytes: number;
  readonly tocDigest: Digest;
}

const [command, ...args] = process.argv.slice(2);
if (command === 'make') make(Number(args[0]), args[1]!);
else await mount(args[0] as Face['kind'], args[1]!, args[2]!);

function make(entryCount: number, path: string): void {
  const { tail, blobSizeBytes, tocDigest } = makeLargeToc(entryCount);
  writeFileSync(path, tail);
  writeFileSync(`${path}.json`, JSON.stringify({ blobSizeBytes, tocDigest } satisfies StoredToc));
}

async function mount(kind: Face['kind'], path: string, directory: string): Promise<void> {
  const { blobSizeBytes, tocDigest } = JSON.parse(readFileSync(`${path}.json`, 'utf8')) as StoredToc;
  const tail = readFileSync(path);
  const digest = digestOf('the layer');
  const source: BlobSource = {
    digest,
    fetchSuffix: async () => ({ bytes: tail, offset: blobSizeBytes - tail.length, blobSizeBytes, servers: new Set() }),
    distrust: () => false,
    fetchRange: () => {
      throw new Error('nothing but the TOC is here');
    },
  };
  const log = { info: () => {}, warn: (fields: object, message: string) => console.error(message, fields) };
  const scheduler = new FetchScheduler();
  const inflaters = new InflatePool();
  const face = await openFace(kind, directory);
  const manager = new LayerManager({
    root: join(directory, 'layers'),
    registry: { blob: () => source },
    face,
    scheduler,
    inflaters,
    config: { ...defaultLayerConfig, noBackgroundFetch: true },
    log,
    metrics: noFetchMetrics,
  });
  try {
    const request = { reference: 'registry.test/large:1', digest, siblings: [digest], tocDigest, skipVerify: false };
    const heldBytes = process.memoryUsage.rss();
    const startedMs = performance.now();
    const startedCpu = process.cpuUsage();
    const mounted = await manager.mount(request, new AbortController().signal);
    const mountMs = performance.now() - startedMs;
    const cpu = process.cpuUsage(startedCpu);
    const peakGrowthBytes = process.resourceUsage().maxRSS * 1024 - heldBytes;
    const entries = manager.debugLayers()[0]!.inodes;
    // Not by this thread, which may be who answers.
    const names = await readdir(mounted.path);
    const cpuMs = (cpu.user + cpu.system) / 1000;
    console.log(JSON.stringify({ face: kind, entries, tocBytes: tail.length, mountMs, cpuMs, peakGrowthBytes, names }));
  } finally {
    await manager.close();
    await face.close();
    scheduler.close();
    await inflaters.close();
  }
}

/** With its worker up, as in a daemon that has started. */
async function openFace(kind: Face['kind'], directory: string): Promise<Face> {
  if (kind === 'fuse') return createFuseFace(await FuseServer.mount(join(directory, 'fuse')));
  const server = new ErofsServer(join(directory, 'erofs'));
  await server.ready;
  return createErofsFace(server);
}
