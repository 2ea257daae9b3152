import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { openClient } from '../api/client.ts';
import type { Info } from '../api/types/snapshots.ts';
import { convertImage } from '../convert/image.ts';
import { RegistryClient } from '../registry/client.ts';
import { parseReference } from '../registry/reference.ts';
import { startDockerRegistry, type TestRegistry } from '../registry/testing/docker-registry.ts';
import { mountsBelow, unmount } from '../service/testing/mounts.ts';
import { startContainerd, startDaemon, type TestDaemon, type TestProcess } from '../service/testing/process.ts';
import { criConfig, type Kubelet, openKubelet } from '../testing/cri.ts';
import { copyPrograms, pushImage } from '../testing/image.ts';

const limit = { timeout: 60_000 };

for (const backend of ['fuse', 'erofs'] as const) {
  describe(`containerd pulls through CRI and runs on our daemon (${backend})`, { timeout: 240_000 }, () =>
    testOn(backend),
  );
}

function testOn(backend: 'fuse' | 'erofs'): void {
  let directory = '';
  const client = new RegistryClient();
  let registry: TestRegistry;
  let daemon: TestDaemon;
  let containerd: TestProcess;
  let kubelet: Kubelet;
  const image = (name: string) => `${registry.host}/${name}:latest`;
  const config = `disable_verification = true\n[mount]\nbackend = "${backend}"\n[cri_keychain]\nenable_keychain = true\n`;
  /** What is mounted below the daemon's root: one FUSE mount, or an EROFS mount a layer. */
  const layerMounts = () => mountsBelow(join(directory, 'root')).sort();

  async function startBoth(): Promise<void> {
    const socket = join(directory, 'stargz.sock');
    const configText = `${config}image_service_path = "${join(directory, 'c/containerd.sock')}"\n`;
    daemon = await startDaemon(directory, { socket, config: configText });
    const extraConfig = criConfig(directory, socket, image('pause'));
    containerd ??= await startContainerd(join(directory, 'c'), { extraConfig });
    kubelet ??= openKubelet(directory, containerd.address, daemon.address);
  }

  before(async () => {
    directory = mkdtempSync('/tmp/e2e-');
    registry = await startDockerRegistry();
    const signal = AbortSignal.timeout(60_000);
    const programs = (root: string) =>
      copyPrograms(root, ['/bin/sh', '/bin/cat', '/bin/sleep', '/bin/ls', '/usr/bin/cksum']);
    await pushImage(client, { name: image('pause'), layers: [programs], command: ['/bin/sleep', '1000'] }, signal);
    await pushImage(
      client,
      {
        name: image('plain'),
        layers: [
          programs,
          (root) => {
            mkdirSync(join(root, 'data/deep'), { recursive: true });
            writeFileSync(join(root, 'data/hidden'), 'must not be seen');
            writeFileSync(join(root, 'data/deep/old'), 'must not be seen');
            writeFileSync(join(root, 'data/big'), big);
          },
          (root) => {
            mkdirSync(join(root, 'data/deep'), { recursive: true });
            writeFileSync(join(root, 'data/.wh.hidden'), '');
            writeFileSync(join(root, 'data/deep/.wh..wh..opq'), '');
            writeFileSync(join(root, 'data/deep/new'), 'hello from the top layer');
            symlinkSync('deep/new', join(root, 'data/link'));
          },
        ],
        command: ['/bin/cat', '/data/link'],
      },
      signal,
    );
    for (const format of ['estargz', 'stargz'] as const) {
      await convertImage(client, parseReference(image('plain')), parseReference(image(format)), { format, signal });
    }
    await startBoth();
  }, limit);

  after(async () => {
    kubelet?.close();
    await containerd?.stop();
    await daemon?.stop('SIGINT');
    await registry?.close();
    await client.close();
    for (const point of mountsBelow(directory)) await unmount(point);
    rmSync(directory, { recursive: true, force: true });
  });

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

  test('a plain image is pulled and unpacked, and each layer says why', limit, async () => {
    await kubelet.pull(image('plain'));
    const { exitCode, output } = await kubelet.run(image('plain'), ['/bin/sh', '-c', script]);
    assert.deepEqual([exitCode, lines(output)], [0, expected]);
    // The lowest layer may have been unpacked for the pause image, which has it too.
    const last = daemon.status().fallbacks.slice(-3);
    assert.deepEqual(
      last.map(({ reason }) => reason),
      ['not-lazy', 'not-lazy', 'not-lazy'],
    );
    assert.equal(last.at(-1)?.image, image('plain'));
  });

  test('images still run after a restart, with snapshots of before it', limit, async () => {
    // containerd removes those of the pods meanwhile.
    const committed = async () => (await listSnapshots(daemon)).filter((info) => info.kind === 'COMMITTED');
    const before = await committed();
    // SIGTERM is an update: what is mounted stays for the next daemon.
    const mounted = layerMounts();
    assert.ok(mounted.length > 0);
    assert.equal(await daemon.stop('SIGTERM'), 0);
    assert.deepEqual(layerMounts(), mounted);
    await startBoth();
    assert.deepEqual(layerMounts(), mounted);
    assert.deepEqual(await committed(), before);
    // containerd dials again with some backoff.
    const throughContainerd = openClient('containerd.services.snapshots.v1.Snapshots', containerd.address, {
      namespace: 'k8s.io',
    });
    const list = () => Readable.from(throughContainerd.list({ snapshotter: 'stargz' })).toArray();
    await until(() =>
      list().then(
        () => true,
        () => false,
      ),
    );
    throughContainerd.close();
    for (const name of ['estargz', 'plain']) {
      const { output } = await kubelet.run(image(name), ['/bin/cat', '/data/link']);
      assert.equal(output.trimEnd(), 'hello from the top layer');
    }
  });

  test('removed images leave no snapshot, no layer mounted and no directory', limit, async () => {
    for (const name of ['estargz', 'stargz', 'plain', 'pause']) await kubelet.remove(image(name));
    await until(async () => (await listSnapshots(daemon)).length === 0);
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

async function until(check: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it did not come to that within 10 s');
}
