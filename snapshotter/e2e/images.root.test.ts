import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import { before, describe, test } from 'node:test';
import { startContainerd } from '../../testkit/containerd.ts';
import { startDaemon, type TestDaemon } from '../../testkit/daemon.ts';
import { copyPrograms, pushLazy, pushPause } from '../../testkit/images.ts';
import { type Kubelet, openKubelet } from '../../testkit/kubelet.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { mountPoints } from '../../testkit/mounts.ts';
import type { TestProcess } from '../../testkit/process.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { until } from '../../testkit/until.ts';
import { openClient } from '../api/client.ts';
import type { Info } from '../api/types/snapshots.ts';

const limit = { timeout: 60_000 };

for (const backend of ['fuse', 'erofs'] as const) {
  describe(`containerd pulls through CRI and runs on our daemon (${backend})`, { timeout: 240_000 }, () =>
    testOn(backend),
  );
}

function testOn(backend: 'fuse' | 'erofs'): void {
  const suite = suiteLifetime();
  let directory = '';
  let registry: TestRegistry;
  let daemon: TestDaemon;
  let containerd: TestProcess;
  let kubelet: Kubelet;
  const image = (name: string) => `${registry.host}/${name}:latest`;
  const plain = () => `${image('estargz')}-plain`;
  /** The mounts below the daemon's root: one FUSE mount, or one EROFS mount per layer. */
  const layerMounts = () => mountPoints(join(directory, 'root')).sort();

  const startDaemonHere = () =>
    startDaemon(suite, directory, {
      config:
        `disable_verification = true\n[mount]\nbackend = "${backend}"\n[cri_keychain]\nenable_keychain = true\n` +
        `image_service_path = "${join(directory, 'c/containerd.sock')}"\n`,
    });

  before(async () => {
    directory = openScratch(suite, 'e2e');
    registry = await startRegistry(suite);
    await pushPause(image('pause'));
    const layers = [
      copyPrograms(['/bin/sh', '/bin/cat', '/bin/sleep', '/bin/ls', '/usr/bin/cksum']),
      (root: string) => {
        mkdirSync(join(root, 'data/deep'), { recursive: true });
        writeFileSync(join(root, 'data/hidden'), 'must not be seen');
        writeFileSync(join(root, 'data/deep/old'), 'must not be seen');
        writeFileSync(join(root, 'data/big'), big);
      },
      (root: string) => {
        mkdirSync(join(root, 'data/deep'), { recursive: true });
        writeFileSync(join(root, 'data/.wh.hidden'), '');
        writeFileSync(join(root, 'data/deep/.wh..wh..opq'), '');
        writeFileSync(join(root, 'data/deep/new'), 'hello from the top layer');
        symlinkSync('deep/new', join(root, 'data/link'));
      },
    ];
    const configuration = { config: { Cmd: ['/bin/cat', '/data/link'] } };
    for (const format of ['estargz', 'stargz'] as const) {
      await pushLazy({ reference: image(format), layers, configuration }, { format });
    }
    daemon = await startDaemonHere();
    containerd = await startContainerd(suite, join(directory, 'c'), {
      snapshotter: 'stargz',
      snapshotterAddress: daemon.address,
      pauseImage: image('pause'),
    });
    kubelet = openKubelet(suite, directory, containerd.address, daemon.address);
  }, limit);

  const big = Buffer.alloc(9_000_000, 'big content ');
  const checksum = execFileSync('cksum', { input: big, encoding: 'utf8' }).trim();
  const script = 'cat /data/link; echo; ls /data /data/deep; cksum < /data/big';
  const expected = ['hello from the top layer', '/data:', 'big', 'deep', 'link', '', '/data/deep:', 'new', checksum];
  const lines = (output: string) => output.trimEnd().split('\n');

  for (const format of ['estargz', 'stargz'] as const) {
    test(`an ${format} image is mounted lazily, layer by layer, and runs`, limit, async () => {
      await kubelet.pull(image(format));
      const lazy = (await listSnapshots(daemon)).filter(
        (info) => info.labels['containerd.io/snapshot/cri.image-ref'] === image(format),
      );
      assert.equal(lazy.length, 3, daemon.log());
      assert.ok(lazy.every((info) => info.kind === 'COMMITTED' && info.labels['containerd.io/snapshot/remote']));
      const { exitCode, output } = await kubelet.run(image(format), ['/bin/sh', '-c', script]);
      assert.deepEqual([exitCode, lines(output)], [0, expected], daemon.log());
    });
  }

  test('a plain image is pulled and unpacked, and the reason is recorded for each layer', limit, async () => {
    await kubelet.pull(plain());
    const { exitCode, output } = await kubelet.run(plain(), ['/bin/sh', '-c', script]);
    assert.deepEqual([exitCode, lines(output)], [0, expected]);
    assert.deepEqual(
      daemon
        .status()
        .fallbacks.slice(-3)
        .map(({ image, reason }) => [image, reason]),
      Array.from({ length: 3 }, () => [plain(), 'not-lazy']),
    );
  });

  test('images and their snapshots still work after a restart', limit, async () => {
    // Only committed ones: containerd may still be removing those of the pods.
    const committed = async () => (await listSnapshots(daemon)).filter((info) => info.kind === 'COMMITTED');
    const before = await committed();
    // SIGTERM leaves the mounts to the next daemon.
    const mounted = layerMounts();
    assert.ok(mounted.length > 0);
    assert.equal(await daemon.stop('SIGTERM'), 0);
    assert.deepEqual(layerMounts(), mounted);
    daemon = await startDaemonHere();
    // The rehearsal of a pull comes and goes.
    await until('the same mounts', () => isDeepStrictEqual(layerMounts(), mounted), { limitMs: 10_000 });
    assert.deepEqual(await committed(), before);
    // containerd reconnects with a backoff.
    const throughContainerd = openClient('containerd.services.snapshots.v1.Snapshots', containerd.address, {
      namespace: 'k8s.io',
    });
    const list = () => Readable.from(throughContainerd.list({ snapshotter: 'stargz' })).toArray();
    await until('an answer through containerd', list, { limitMs: 10_000 });
    throughContainerd.close();
    for (const name of [image('estargz'), plain()]) {
      const { output } = await kubelet.run(name, ['/bin/cat', '/data/link']);
      assert.equal(output.trimEnd(), 'hello from the top layer');
    }
  });

  test('removed images leave no snapshot, mounted layer or directory', limit, async () => {
    for (const name of [image('estargz'), image('stargz'), plain(), image('pause')]) await kubelet.remove(name);
    await until('the removal of all snapshots', async () => (await listSnapshots(daemon)).length === 0, {
      limitMs: 10_000,
    });
    const client = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
    await client.cleanup({});
    client.close();
    assert.deepEqual(readdirSync(join(directory, 'root/snapshots')), []);
    assert.deepEqual(layerMounts(), backend === 'fuse' ? [join(directory, 'root/mnt')] : []);
  });
}

async function listSnapshots(daemon: TestProcess): Promise<Info[]> {
  const client = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  const infos: Info[] = [];
  for await (const { info } of client.list({})) infos.push(...info);
  client.close();
  return infos;
}
