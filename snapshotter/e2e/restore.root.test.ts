import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDaemon } from '../../testkit/daemon.ts';
import { openGate } from '../../testkit/gate.ts';
import { pushLazy, writeInto } from '../../testkit/images.ts';
import type { TestProcess } from '../../testkit/process.ts';
import { startRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { openClient } from '../api/client.ts';

const ref = 'sha256:chain';

test('without its cache and the registry the daemon starts if allowed, answers UNAVAILABLE, and mounts once it can', {
  timeout: 120_000,
}, async (t) => {
  const directory = openScratch(t, 'rst');
  const registry = await startRegistry(t);
  const gate = await openGate(t, registry.host);
  const lazy = `${gate.address}/lazy:latest`;
  const { layers } = await pushLazy({ reference: lazy, layers: [writeInto('file', 'content')] });
  const labels = {
    'containerd.io/snapshot.ref': ref,
    'containerd.io/snapshot/cri.image-ref': lazy,
    'containerd.io/snapshot/cri.layer-digest': layers[0]!.digest,
    'containerd.io/snapshot/stargz/toc.digest': layers[0]!.tocDigest,
  };

  let daemon: TestProcess | undefined;
  const start = async (snapshotter: string) => {
    const config = `[mount]\nbackend = "fuse"\n[blob]\nmax_retries = -1\n[snapshotter]\n${snapshotter}`;
    daemon = await startDaemon(t, directory, { config });
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
  await gate.refuse();

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
