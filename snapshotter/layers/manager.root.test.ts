import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { FuseServer } from '../fuse/server.ts';
import { digestOf } from '../registry/digest.ts';
import { noFetchMetrics } from '../store/metrics.ts';
import { InflatePool } from '../store/inflate-pool.ts';
import { FetchScheduler } from '../store/scheduler.ts';
import { buildTestBlob } from '../store/testing/blob.ts';
import { createFuseFace } from './fuse-face.ts';
import { LayerManager } from './manager.ts';
import { defaultLayerConfig } from '../bench/layer-config.ts';
import { requestFor, testFiles, testRegistry } from './testing/registry.ts';

const run = promisify(execFile);
const encoding = 'buffer';

test('files of a mounted layer are fetched on demand and read correctly, or fail', {
  timeout: 30_000,
}, async (t) => {
  const files = testFiles(60, 70_000);
  const blob = buildTestBlob(files, { chunkSizeBytes: 30_000, damage: (member) => member.name === files[50]!.name });
  const registry = testRegistry([blob]);
  const root = await mkdtemp(join(tmpdir(), 'layers-fuse-'));
  const server = await FuseServer.mount(join(root, 'mnt'));
  const face = createFuseFace(server);
  const scheduler = new FetchScheduler();
  const inflaters = new InflatePool();
  const log = { info: () => {}, warn: () => {} };
  const config = { ...defaultLayerConfig, noBackgroundFetch: true };
  const metrics = noFetchMetrics;
  const layers = new LayerManager({
    root: join(root, 'layers'),
    registry,
    face,
    scheduler,
    inflaters,
    config,
    log,
    metrics,
  });
  t.after(async () => {
    await layers.close();
    await face.close();
    scheduler.close();
    await inflaters.close();
    await rm(root, { recursive: true, force: true });
  });
  const { path } = await layers.mount(requestFor(blob), AbortSignal.timeout(10_000));
  layers.acquire(blob.digest);

  // Read by child processes, since this process serves the mount.
  const read = async (name: string): Promise<Buffer> => (await run('cat', [join(path, name)], { encoding })).stdout;
  const readAll = await Promise.all(
    [3, 59, 20, 21, 22, 3].map(async (at) => [at, await read(files[at]!.name)] as const),
  );
  for (const [at, bytes] of readAll) assert.equal(digestOf(bytes), digestOf(files[at]!.content));
  assert.ok(registry.sources.get(blob.digest)!.bytesSent < blob.bytes.length);
  await assert.rejects(read(files[50]!.name), /Input\/output error/);
  const { stdout } = await run('find', [path, '-type', 'f']);
  assert.equal(stdout.trim().split('\n').length, 60);

  layers.release(blob.digest);
  assert.equal(layers.mounted(blob.digest), undefined);
});
