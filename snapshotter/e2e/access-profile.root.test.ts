import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { startContainerd } from '../../testkit/containerd.ts';
import { startDaemon, type TestDaemon } from '../../testkit/daemon.ts';
import { copyPrograms, pushLazy, pushPause, writeInto } from '../../testkit/images.ts';
import { type Kubelet, openKubelet } from '../../testkit/kubelet.ts';
import { suiteLifetime, undoAfter } from '../../testkit/lifetime.ts';
import { startRegistry } from '../../testkit/registry.ts';
import { type RegistrySimulator, startRegistrySimulator } from '../../testkit/registry-simulator/simulator.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { until } from '../../testkit/until.ts';
import { readAccesses } from '../convert/accesses.ts';
import type { ConvertedImage } from '../convert/image.ts';
import { publishProfile } from '../convert/profile.ts';
import { ACCESS_PROFILE_BLOB, ACCESS_PROFILE_TYPE, parseAccessProfile } from '../estargz/access-profile.ts';
import { hotUnitBytes, parseHotRanges } from '../estargz/hot-ranges.ts';
import { RegistryClient } from '../registry/client.ts';
import type { Digest } from '../registry/digest.ts';
import { parseReference } from '../registry/reference.ts';
import { pseudoRandomBytes } from '../store/testing/blob.ts';

const limit = { timeout: 120_000 };

for (const [backend, listedBy] of [
  ['fuse', 'tag'],
  ['erofs', 'api'],
] as const) {
  describe(
    `an image is prefetched by a profile that was published after it (${backend}, listed by ${listedBy})`,
    { timeout: 400_000 },
    () => testOn(backend, listedBy),
  );
}

interface Node {
  readonly daemon: TestDaemon;
  readonly kubelet: Kubelet;
}

/** A range of a layer's blob: [start, end). */
interface HotSpan {
  readonly layer: string;
  readonly start: number;
  readonly end: number;
}

function testOn(backend: 'fuse' | 'erofs', listedBy: 'tag' | 'api'): void {
  const suite = suiteLifetime();
  const client = new RegistryClient();
  undoAfter(suite, () => client.close());
  const signal = AbortSignal.timeout(400_000);
  let image: string;
  let pushed: ConvertedImage;
  let hot: HotSpan[];
  const big = pseudoRandomBytes(24_000_000, 4711);
  const page = 4096;
  const chunkSizeBytes = 128 * 1024;
  const parts = [
    { skip: 4000, count: 64 },
    { skip: 1000, count: 200 },
  ];
  const script = parts
    .map(
      ({ skip, count }) => `/bin/dd if=/data/big bs=${page} skip=${skip} count=${count} 2>/dev/null | /usr/bin/cksum`,
    )
    .join('; ');
  const expected = parts.map(({ skip, count }) => {
    const input = big.subarray(skip * page, (skip + count) * page);
    return execFileSync('cksum', { input, encoding: 'utf8' }).trim();
  });

  const startNode = async (name: string, config: string): Promise<Node> => {
    const directory = openScratch(suite, name);
    const daemon = await startDaemon(suite, directory, {
      config:
        `disable_verification = true\nno_background_fetch = true\n${config}\n[mount]\nbackend = "${backend}"\n` +
        `[cri_keychain]\nenable_keychain = true\nimage_service_path = "${join(directory, 'c/containerd.sock')}"\n`,
      logLevel: 'trace',
    });
    const containerd = await startContainerd(suite, join(directory, 'c'), {
      snapshotter: 'stargz',
      snapshotterAddress: daemon.address,
      pauseImage: image.replace('app', 'pause'),
    });
    return { daemon, kubelet: openKubelet(suite, directory, containerd.address, daemon.address) };
  };
  const run = async ({ daemon, kubelet }: Node): Promise<void> => {
    const { exitCode, output } = await kubelet.run(image, ['/bin/sh', '-c', script]);
    assert.deepEqual([exitCode, output.trimEnd().split('\n')], [0, expected], daemon.log());
  };

  before(async () => {
    const { host } = listedBy === 'tag' ? await startRegistry(suite) : await startSimulator();
    image = `${host}/app:latest`;
    await pushPause(`${host}/pause:latest`);
    const layers = [copyPrograms(['/bin/sh', '/bin/dd', '/usr/bin/cksum']), writeInto('data/big', big)];
    pushed = await pushLazy({ reference: image, layers, configuration: {} }, { format: 'stargz', chunkSizeBytes });
    const path = join(openScratch(suite, 'record'), 'accesses.jsonl');
    const node = await startNode('record', `record_accesses = "${path}"\nnoprefetch = true`);
    await node.kubelet.pull(image);
    await run(node);
    assert.equal(await node.daemon.stop(), 0);
    const accesses = await readAccesses(path);
    const published = await publishProfile(client, parseReference(image), { accesses, signal });
    assert.deepEqual([published.listedBy, published.subject], [listedBy, pushed.digest]);
    hot = await readHot();
  }, limit);

  const startSimulator = async (): Promise<RegistrySimulator> => {
    const simulator = await startRegistrySimulator({ content: { hasReferrers: true } });
    undoAfter(suite, () => simulator.close());
    return simulator;
  };
  const readHot = async (): Promise<HotSpan[]> => {
    const reference = parseReference(image);
    const query = { reference, subject: pushed.digest, artifactType: ACCESS_PROFILE_TYPE };
    const [referrer] = await client.findReferrers(query, signal);
    const blob = referrer!.annotations![ACCESS_PROFILE_BLOB] as Digest;
    const profile = parseAccessProfile(await client.readBlob(reference, blob, 1 << 20, signal));
    return [...profile].flatMap(([layer, list]) => {
      const { tocDigest, sizeBytes: payloadEnd } = pushed.layers.find(({ digest }) => digest === layer)!;
      const ranges = parseHotRanges(list, { tocDigest, payloadEnd });
      return ranges.map(({ start, end }) => ({ layer, start: start * hotUnitBytes, end: end * hotUnitBytes }));
    });
  };

  test('its ranges, and next to nothing else, are fetched after the pull, and no read misses', limit, async () => {
    const { daemon, kubelet } = await startNode('profiled', '');
    await kubelet.pull(image);
    const isFetched = ({ layer, start }: HotSpan): boolean =>
      fetchesOf(daemon).some((one) => one.layer === layer && one.first < start + hotUnitBytes && start <= one.last);
    await until('the end of the prefetch', () => hot.every(isFetched), { limitMs: 30_000, intervalMs: 100 });
    const fetched = fetchesOf(daemon);
    // A member begins in its range and may end behind it; gaps of at most 6 % are fetched along.
    const isHot = ({ layer, first, last }: Fetch): boolean =>
      hot.some((range) => range.layer === layer && first < range.end && range.start <= last);
    assert.ok(fetched.every(isHot), JSON.stringify({ fetched, hot }));
    await run({ daemon, kubelet });
    assert.deepEqual(
      linesOf(daemon).filter(({ msg }) => msg === 'content missed'),
      [],
    );
    assert.deepEqual(fetchesOf(daemon), fetched);
    const bytes = fetched.reduce((sum, one) => sum + one.last - one.first, 0);
    const wantedBytes = parts.reduce((sum, { count }) => sum + count * page, 0);
    assert.ok(bytes > wantedBytes && bytes < big.length / 3, `${bytes} bytes were fetched`);
    const found = linesOf(daemon).filter(({ msg }) => msg === 'access profile found');
    assert.equal(found.length, 1);
  });

  test('nothing is looked for or fetched after the pull where the configuration says so', limit, async () => {
    for (const config of ['access_profiles = false', 'noprefetch = true']) {
      const { daemon, kubelet } = await startNode(config.slice(0, 6), config);
      await kubelet.pull(image);
      await run({ daemon, kubelet });
      assert.deepEqual(
        linesOf(daemon).filter(({ msg }) => /access profile/.test(msg)),
        [],
      );
      assert.notDeepEqual(
        linesOf(daemon).filter(({ msg }) => msg === 'content missed'),
        [],
      );
      assert.equal(await daemon.stop(), 0);
    }
  });
}

interface Line {
  readonly msg: string;
  readonly [field: string]: unknown;
}

function linesOf(daemon: TestDaemon): Line[] {
  const lines = daemon.log().split('\n');
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line);
}

/** Bytes [first, last] of a layer's blob. */
interface Fetch {
  readonly layer: string;
  readonly first: number;
  readonly last: number;
}

function fetchesOf(daemon: TestDaemon): Fetch[] {
  const fetched = linesOf(daemon).filter(({ msg }) => msg === 'content fetched');
  return fetched.map(({ layer, range }) => {
    const [first, last] = (range as string).split('-').map(Number);
    return { layer: layer as string, first: first!, last: last! };
  });
}
