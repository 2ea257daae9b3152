import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { defaultLayerConfig } from '../bench/layer-config.ts';
import { BuilderThread } from '../builder/builder.ts';
import { ErofsServer } from '../erofs/server.ts';
import { FuseServer } from '../fuse/server.ts';
import { createErofsFace } from '../layers/erofs-face.ts';
import type { Face } from '../layers/face.ts';
import { createFuseFace } from '../layers/fuse-face.ts';
import { listMounts } from '../platform/mountinfo.ts';
import { RegistryClient } from '../registry/client.ts';
import { InflatePool } from '../store/inflate-pool.ts';
import { rehearse } from './rehearse.ts';

const faces: Readonly<Record<string, (directory: string) => Promise<Face>>> = {
  fuse: async (directory) => createFuseFace(await FuseServer.mount(directory)),
  erofs: async (directory) => {
    const server = new ErofsServer(directory);
    await server.ready;
    return createErofsFace(server);
  },
};

for (const [name, openFace] of Object.entries(faces)) {
  test(`${name}: a rehearsed pull reaches its end and leaves neither mount nor file`, {
    timeout: 60_000,
  }, async (t) => {
    const root = await mkdtemp(join(tmpdir(), 'rehearsal-'));
    const registry = new RegistryClient();
    const inflaters = new InflatePool();
    const builder = new BuilderThread();
    const face = await openFace(join(root, 'mounts'));
    t.after(async () => {
      await face.close();
      await builder.close();
      await registry.close();
      await inflaters.close();
      await rm(root, { recursive: true, force: true });
    });
    const mountsBefore = mountCount(root);
    const stage = { root, registry, inflaters, builder, face, config: defaultLayerConfig, overlayOptions: [] };
    const { error } = await rehearse(stage, t.signal);
    assert.equal(error, undefined);
    assert.deepEqual(await readdir(root), ['mounts']);
    assert.equal(mountCount(root), mountsBefore);
  });
}

test('a rehearsal that is aborted ends and says why', { timeout: 60_000 }, async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'rehearsal-'));
  const registry = new RegistryClient();
  const inflaters = new InflatePool();
  const face = await faces.fuse!(join(root, 'mounts'));
  t.after(async () => {
    await face.close();
    await registry.close();
    await inflaters.close();
    await rm(root, { recursive: true, force: true });
  });
  const stage = { root, registry, inflaters, face, config: defaultLayerConfig, overlayOptions: [] };
  const { error } = await rehearse(stage, AbortSignal.abort());
  assert.ok(error instanceof Error);
  assert.deepEqual(await readdir(root), ['mounts']);
});

function mountCount(root: string): number {
  return listMounts().filter((mount) => mount.path.startsWith(root)).length;
}
