import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { pushLazy, pushPause } from '../../testkit/images.ts';
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
import {
  bigFile,
  type Fetch,
  fetchesOf,
  linesOf,
  type Node,
  partialReader,
  readBytes,
  runPartialReader,
  startNode,
} from './testing/partial-reads.ts';

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
  const chunkSizeBytes = 128 * 1024;
  const start = (name: string, config: string): Promise<Node> =>
    startNode(suite, name, {
      backend,
      config: `disable_verification = true\n${config}`,
      pauseImage: image.replace('app', 'pause'),
    });

  before(async () => {
    const { host } = listedBy === 'tag' ? await startRegistry(suite) : await startSimulator();
    image = `${host}/app:latest`;
    await pushPause(`${host}/pause:latest`);
    const reader = { reference: image, layers: partialReader, configuration: {} };
    pushed = await pushLazy(reader, { format: 'stargz', chunkSizeBytes });
    const path = join(openScratch(suite, 'record'), 'accesses.jsonl');
    const node = await start('record', `record_accesses = "${path}"\nnoprefetch = true`);
    await node.kubelet.pull(image);
    await runPartialReader(node, image);
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
    const { daemon, kubelet } = await start('profiled', '');
    await kubelet.pull(image);
    const isFetched = ({ layer, start }: HotSpan): boolean =>
      fetchesOf(daemon).some((one) => one.layer === layer && one.first < start + hotUnitBytes && start <= one.last);
    await until('the end of the prefetch', () => hot.every(isFetched), { limitMs: 30_000, intervalMs: 100 });
    const fetched = fetchesOf(daemon);
    // A member begins in its range and may end behind it; gaps of at most 6 % are fetched along.
    const isHot = ({ layer, first, last }: Fetch): boolean =>
      hot.some((range) => range.layer === layer && first < range.end && range.start <= last);
    assert.ok(fetched.every(isHot), JSON.stringify({ fetched, hot }));
    await runPartialReader({ daemon, kubelet }, image);
    assert.deepEqual(
      linesOf(daemon).filter(({ msg }) => msg === 'content missed'),
      [],
    );
    assert.deepEqual(fetchesOf(daemon), fetched);
    const bytes = fetched.reduce((sum, one) => sum + one.last - one.first, 0);
    assert.ok(bytes > readBytes && bytes < bigFile.length / 3, `${bytes} bytes were fetched`);
    const found = linesOf(daemon).filter(({ msg }) => msg === 'access profile found');
    assert.equal(found.length, 1);
  });

  test('nothing is looked for or fetched after the pull where the configuration says so', limit, async () => {
    for (const config of ['access_profiles = false', 'noprefetch = true']) {
      const { daemon, kubelet } = await start(config.slice(0, 6), config);
      await kubelet.pull(image);
      await runPartialReader({ daemon, kubelet }, image);
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
