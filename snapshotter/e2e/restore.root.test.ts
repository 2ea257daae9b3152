import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openGate } from '../../harness/e2e/testing/gate.ts';
import { openClient } from '../api/client.ts';
import { convertImage } from '../convert/image.ts';
import { RegistryClient } from '../registry/client.ts';
import { parseReference } from '../registry/reference.ts';
import { startDockerRegistry } from '../registry/testing/docker-registry.ts';
import { mountsBelow, unmount } from '../service/testing/mounts.ts';
import { startDaemon, type TestProcess } from '../service/testing/process.ts';
import { pushImage } from '../testing/image.ts';

const ref = 'sha256:chain';

test('with its cache gone and no registry the daemon starts if it may, answers UNAVAILABLE, and mounts when it can', {
  timeout: 120_000,
}, async (t) => {
  const directory = mkdtempSync('/tmp/rst-');
  const registry = await startDockerRegistry();
  const gate = await openGate(registry.host);
  let daemon: TestProcess | undefined;
  t.after(async () => {
    await daemon?.stop();
    await gate.shut();
    await registry.close();
    for (const point of mountsBelow(directory)) await unmount(point);
    rmSync(directory, { recursive: true, force: true });
  });
  const client = new RegistryClient();
  const [plain, lazy] = ['plain', 'lazy'].map((name) => `${gate.address}/${name}:latest`) as [string, string];
  const write = (root: string) => writeFileSync(join(root, 'file'), 'content');
  await pushImage(client, { name: plain, layers: [write], command: ['/file'] }, t.signal);
  const formatted = { format: 'estargz', signal: t.signal } as const;
  const { layers } = await convertImage(client, parseReference(plain), parseReference(lazy), formatted);
  await client.close();
  const labels = {
    'containerd.io/snapshot.ref': ref,
    'containerd.io/snapshot/cri.image-ref': lazy,
    'containerd.io/snapshot/cri.layer-digest': layers[0]!.digest,
    'containerd.io/snapshot/stargz/toc.digest': layers[0]!.tocDigest,
  };

  const start = async (snapshotter: string) => {
    const config = `[mount]\nbackend = "fuse"\n[blob]\nmax_retries = -1\n[snapshotter]\n${snapshotter}`;
    daemon = await startDaemon(directory, { config });
    return daemon;
  };
  const codeOf = async (key: string, request: { parent?: string; labels?: Record<string, string> }) => {
    const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', daemon!.address);
    try {
      await snapshots.prepare({ key, ...request });
      return 'OK';
    } catch (error) {
      return (error as { code: string }).code;
    } finally {
      snapshots.close();
    }
  };
  await start('');
  assert.equal(await codeOf('pull', { labels }), 'ALREADY_EXISTS');
  assert.equal(await codeOf('first', { parent: ref }), 'OK');
  await daemon!.stop();
  rmSync(join(directory, 'root/layers'), { recursive: true });
  await gate.shut();

  await assert.rejects(start(''), /1 lazy layers of earlier snapshots cannot be mounted again.*allow_invalid_mounts/);
  for (const option of ['allow_invalid_mounts_on_restart', 'lazy_restore_on_restart']) {
    await start(`${option} = true`);
    assert.equal(await codeOf('second', { parent: ref }), 'UNAVAILABLE');
    if (option === 'lazy_restore_on_restart') {
      await gate.open();
      assert.equal(await codeOf('second', { parent: ref }), 'OK', daemon!.log());
    }
    await daemon!.stop();
  }
});
