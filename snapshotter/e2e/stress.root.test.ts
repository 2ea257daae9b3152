import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { startContainerd } from '../../testkit/containerd.ts';
import { startDaemon, type TestDaemon } from '../../testkit/daemon.ts';
import { copyPrograms, pushLazy, pushPause } from '../../testkit/images.ts';
import { type Kubelet, openKubelet } from '../../testkit/kubelet.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { whileMounted } from '../../testkit/mounts.ts';
import type { TestProcess } from '../../testkit/process.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { openClient } from '../api/client.ts';
import type { StatusDocument } from '../api/status.ts';
import { digestOf } from '../registry/digest.ts';

/** Many containers at once, and memory reclaimed while they read: correct content, no chunk fetched twice, no deadlock. */

const limit = { timeout: 120_000 };
const run = promisify(execFile);
const programs = ['/bin/sh', '/bin/cat', '/usr/bin/sha256sum', '/usr/bin/xargs', '/usr/bin/find', '/usr/bin/sort'];
const files = Array.from({ length: 120 }, (_, index) => ({
  name: `d${index % 7}/f${index}`,
  content: pseudoRandomBytes(5000 + ((index * 7919) % 400_000), index),
}));
/** As `find | sort | sha256sum` prints them. */
const sums = files
  .map(({ name, content }) => `${digestOf(content).slice('sha256:'.length)}  ./${name}\n`)
  .sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1))
  .join('');
const listSums = 'cd /data && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum';

for (const backend of ['fuse', 'erofs'] as const) {
  describe(`a lazy image under stress (${backend})`, { timeout: 300_000 }, () => testOn(backend));
}

function testOn(backend: 'fuse' | 'erofs'): void {
  const suite = suiteLifetime();
  let directory = '';
  let registry: TestRegistry;
  let daemon: TestDaemon;
  let kubelet: Kubelet;
  let blobBytes = 0;
  const image = (name: string) => `${registry.host}/${name}:latest`;

  before(async () => {
    directory = openScratch(suite, 'stress');
    registry = await startRegistry(suite);
    await pushPause(image('pause'));
    for (const name of ['crowd', 'pressure']) {
      const layers = [copyPrograms(programs), fillData];
      const converted = await pushLazy({ reference: image(name), layers }, { chunkSizeBytes: 65_536 });
      blobBytes = converted.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0);
    }
    const config =
      'disable_verification = true\nno_background_fetch = true\nnoprefetch = true\n' +
      `metrics_address = "127.0.0.1:0"\n[cache]\nlimit_bytes = 0\n[mount]\nbackend = "${backend}"\n`;
    daemon = await startDaemon(suite, directory, { config });
    const { address } = await startContainerd(suite, join(directory, 'c'), {
      snapshotter: 'stargz',
      snapshotterAddress: daemon.address,
      pauseImage: image('pause'),
    });
    kubelet = openKubelet(suite, directory, address, address);
  }, limit);

  test('sixteen containers that start at once read the right bytes, each fetched once', limit, async () => {
    await kubelet.pull(image('crowd'));
    const fetchedBefore = await fetchedBytes(daemon);
    const crowd = Array.from({ length: 16 }, () => kubelet.run(image('crowd'), ['/bin/sh', '-c', listSums]));
    for (const { exitCode, output } of await Promise.all(crowd)) {
      assert.equal(exitCode, 0, daemon.log());
      assert.equal(output.trimEnd(), sums.trimEnd());
    }
    const fetched = (await fetchedBytes(daemon)) - fetchedBefore;
    assert.ok(fetched > 0 && fetched <= 1.02 * blobBytes, `${fetched} bytes of ${blobBytes} were fetched`);
    await kubelet.remove(image('crowd'));
  });

  test('readers go on and nothing is fetched again while the kernel reclaims memory', limit, async () => {
    await kubelet.pull(image('pressure'));
    const fetchedBefore = await fetchedBytes(daemon);
    const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
    const top = await topSnapshot(daemon, image('pressure'));
    const { mounts } = await snapshots.prepare({ key: 'reader', parent: top });
    await whileMounted(mounts, join(directory, 'reader'), async (root) => {
      let drops = 0;
      // Each runs a shell and its libraries from the image, so pages are mapped and executed too.
      const readers = Array.from({ length: 6 }, async () => {
        do {
          const { stdout } = await run('chroot', [root, '/bin/sh', '-c', listSums], { timeout: 60_000 });
          assert.equal(stdout, sums);
        } while (drops < 12);
      });
      const reading = Promise.all(readers);
      let isReading = true;
      const readingEnds = () => {
        isReading = false;
      };
      reading.then(readingEnds, readingEnds);
      // Page cache, dentries and inodes.
      for (; isReading; drops++) await writeFile('/proc/sys/vm/drop_caches', '3');
      await reading;
    });
    await snapshots.remove({ key: 'reader' });
    snapshots.close();
    const fetched = (await fetchedBytes(daemon)) - fetchedBefore;
    assert.ok(fetched > 0 && fetched <= 1.02 * blobBytes, `${fetched} bytes of ${blobBytes} were fetched`);
    await kubelet.remove(image('pressure'));
  });
}

function fillData(root: string): void {
  for (const { name, content } of files) {
    mkdirSync(join(root, 'data', name, '..'), { recursive: true });
    writeFileSync(join(root, 'data', name), content);
  }
}

/** Bytes of content, without TOCs. */
async function fetchedBytes(daemon: TestDaemon): Promise<number> {
  const answer = await fetch(`http://${daemon.status().listening.metrics}/debug/status`);
  const { counters } = (await answer.json()) as StatusDocument;
  return Object.values(counters.fetched).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The name of the snapshot of the image's top layer. */
async function topSnapshot(daemon: TestProcess, reference: string): Promise<string> {
  const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  const parents = new Set<string>();
  const names: string[] = [];
  for await (const { info } of snapshots.list({})) {
    for (const { name, parent, labels } of info) {
      parents.add(parent);
      if (labels['containerd.io/snapshot/cri.image-ref'] === reference) names.push(name);
    }
  }
  snapshots.close();
  return names.find((name) => !parents.has(name))!;
}
