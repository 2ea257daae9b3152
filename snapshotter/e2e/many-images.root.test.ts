import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { mountAt } from '../../harness/host/mounts.ts';
import { startDaemon } from '../../testkit/daemon.ts';
import { pushLazy } from '../../testkit/images.ts';
import { suiteLifetime, undoAfter } from '../../testkit/lifetime.ts';
import { mountPoints, unmount } from '../../testkit/mounts.ts';
import { startRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { until } from '../../testkit/until.ts';
import { openClient } from '../api/client.ts';

const limit = { timeout: 240_000 };
const imageCount = 50;
const suite = suiteLifetime();
let reference: string;
let layers: readonly string[];

before(async () => {
  const registry = await startRegistry(suite);
  reference = `${registry.host}/many:estargz`;
  const fills = Array.from({ length: imageCount }, (_, image) => (root: string) => {
    for (let file = 0; file < 50; file++) writeFileSync(join(root, `file-${file}`), `${image} ${file}`);
  });
  layers = (await pushLazy({ reference, layers: fills })).layers.map(({ digest }) => digest);
}, limit);

for (const backend of ['fuse', 'erofs'] as const)
  test(
    `fifty images that are mounted at once by ${backend}, read and removed leave no descriptor, thread or mount`,
    limit,
    async (t) => {
      assert.equal(layers.length, imageCount);
      const directory = openScratch(t, 'many');
      const daemon = await startDaemon(t, directory, {
        config: `disable_verification = true\nno_background_fetch = true\n[mount]\nbackend = "${backend}"\n`,
      });
      const client = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
      undoAfter(t, () => client.close());
      const measure = () => ({
        descriptors: readdirSync(`/proc/${daemon.pid}/fd`).length,
        threads: readdirSync(`/proc/${daemon.pid}/task`).length,
        mounts: mountPoints(directory).length,
      });

      const mountImage = async (image: number) => {
        const ref = `chain-${image}`;
        const labels = {
          'containerd.io/snapshot.ref': ref,
          'containerd.io/snapshot/cri.image-ref': reference,
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

      for (let warmUp = 0; warmUp < 2; warmUp++) await round();
      const earlier = measure();
      let inUse = earlier;
      for (let again = 0; again < 2; again++) inUse = await round();
      // The daemon unmounts a layer after it has answered Remove.
      const areClosed = () => measure().descriptors <= earlier.descriptors;
      await until('the end of all mounts', areClosed, { limitMs: 10_000 });
      const later = measure();
      assert.ok(inUse.descriptors >= earlier.descriptors + imageCount, 'the images were not mounted at once');
      assert.ok(later.threads <= earlier.threads, `${earlier.threads} -> ${later.threads} threads`);
      // FUSE has one mount for all layers, EROFS one for each.
      assert.equal(later.mounts, backend === 'fuse' ? 1 : 0);
      assert.deepEqual(readdirSync(join(directory, 'root/snapshots')), []);
    },
  );
