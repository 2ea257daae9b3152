import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openClient } from '../api/client.ts';
import { convertImage } from '../convert/image.ts';
import { RegistryClient } from '../registry/client.ts';
import { parseManifest } from '../registry/manifest.ts';
import { parseReference } from '../registry/reference.ts';
import { startDockerRegistry, type TestRegistry } from '../registry/testing/docker-registry.ts';
import { mountAt, mountsBelow, unmount } from '../service/testing/mounts.ts';
import { startDaemon } from '../service/testing/process.ts';
import { collectable, type GarbageCollector, openGarbageCollector } from '../testing/garbage.ts';
import { pushImage } from '../testing/image.ts';

const limit = { timeout: 240_000 };
const imageCount = 50;
const directory = mkdtempSync('/tmp/many-');
let registry: TestRegistry;
let layers: readonly string[];

before(async () => {
  registry = await startDockerRegistry();
  const client = new RegistryClient();
  const signal = AbortSignal.timeout(limit.timeout);
  const at = (tag: string) => parseReference(`${registry.host}/many:${tag}`);
  await pushImage(
    client,
    {
      name: `${registry.host}/many:plain`,
      layers: Array.from({ length: imageCount }, (_, image) => (root: string) => {
        for (let file = 0; file < 50; file++) writeFileSync(join(root, `file-${file}`), `${image} ${file}`);
      }),
      command: [],
    },
    signal,
  );
  await convertImage(client, at('plain'), at('estargz'), { format: 'estargz', signal });
  const { bytes, mediaType } = await client.fetchManifest(at('estargz'), signal);
  const manifest = parseManifest(bytes, mediaType);
  assert.ok(manifest.kind === 'manifest');
  layers = manifest.manifest.layers.map((layer) => layer.digest);
  await client.close();
}, limit);

after(async () => {
  for (const point of mountsBelow(directory)) await unmount(point);
  await registry?.close();
  rmSync(directory, { recursive: true, force: true });
});

for (const backend of ['fuse', 'erofs'] as const)
  test(
    `fifty images mounted at once by ${backend}, used and removed leave no descriptor, thread, mount or memory`,
    limit,
    async (t) => {
      assert.equal(layers.length, imageCount);
      const daemon = await startDaemon(directory, {
        config: `disable_verification = true\nno_background_fetch = true\n[mount]\nbackend = "${backend}"\n`,
        env: collectable,
      });
      let garbage: GarbageCollector | undefined;
      t.after(async () => {
        garbage?.close();
        await daemon.stop();
      });
      garbage = await openGarbageCollector(daemon);
      const client = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
      t.after(() => client.close());
      const measure = () => ({
        descriptors: readdirSync(`/proc/${daemon.pid}/fd`).length,
        threads: readdirSync(`/proc/${daemon.pid}/task`).length,
        mounts: mountsBelow(directory).length,
        rssKib: Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))![1]),
      });

      const mountImage = async (image: number) => {
        const ref = `chain-${image}`;
        const labels = {
          'containerd.io/snapshot.ref': ref,
          'containerd.io/snapshot/cri.image-ref': `${registry.host}/many:estargz`,
          'containerd.io/snapshot/cri.layer-digest': layers[image]!,
          'containerd.io/snapshot/cri.image-layers': layers[image]!,
        };
        await assert.rejects(
          client.prepare({ key: `pull-${image}`, labels }),
          { code: 'ALREADY_EXISTS' },
          daemon.log(),
        );
        const { mounts } = await client.prepare({ key: `run-${image}`, parent: ref });
        const target = join(directory, `root-${image}`);
        await mountAt(mounts, target);
        return target;
      };
      const round = async () => {
        const images = Array.from({ length: imageCount }, (_, image) => image);
        const targets = await Promise.all(images.map(mountImage));
        const texts = await Promise.all(targets.map((target) => readFile(join(target, 'file-7'), 'utf8')));
        assert.deepEqual(
          texts,
          images.map((image) => `${image} 7`),
        );
        const inUse = measure();
        for (const target of targets) await unmount(target);
        for (const image of images) {
          await client.remove({ key: `run-${image}` });
          await client.remove({ key: `chain-${image}` });
        }
        await client.cleanup({});
        return inUse;
      };

      for (let warmUp = 0; warmUp < 5; warmUp++) await round();
      const heldBytes = await garbage.collect();
      const earlier = measure();
      let inUse = earlier;
      for (let again = 0; again < 6; again++) inUse = await round();
      // Unmounting a layer goes on behind the answer to Remove.
      for (let tries = 0; tries < 100 && measure().descriptors > earlier.descriptors; tries++) await delay(50);
      const grownBytes = (await garbage.collect()) - heldBytes;
      const later = measure();
      t.diagnostic(
        `in use ${JSON.stringify(inUse)}, before ${JSON.stringify(earlier)}, after ${JSON.stringify(later)}, ` +
          `${grownBytes} bytes more in use by JavaScript`,
      );
      assert.ok(inUse.descriptors >= earlier.descriptors + imageCount, 'the images were not mounted at once');
      assert.ok(later.descriptors <= earlier.descriptors, `${earlier.descriptors} -> ${later.descriptors} descriptors`);
      assert.ok(later.threads <= earlier.threads, `${earlier.threads} -> ${later.threads} threads`);
      // FUSE has one mount for all layers, EROFS one a layer.
      assert.equal(later.mounts, backend === 'fuse' ? 1 : 0);
      // 4 KiB an image, of which the time limits of their Prepares hold some for a minute.
      assert.ok(grownBytes < 6 * imageCount * 4096, `${grownBytes} bytes more in use by JavaScript`);
      // What is not JavaScript's is only known to be somewhere in this, which swings.
      assert.ok(later.rssKib - earlier.rssKib < 8_000, `${earlier.rssKib} -> ${later.rssKib} KiB`);
      assert.deepEqual(readdirSync(join(directory, 'root/snapshots')), []);
    },
  );
