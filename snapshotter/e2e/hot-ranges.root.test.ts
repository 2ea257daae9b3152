import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import type { TestDaemon } from '../../testkit/daemon.ts';
import { convertPlain, pushLazy, pushPause } from '../../testkit/images.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { until } from '../../testkit/until.ts';
import { openClient } from '../api/client.ts';
import type { Info } from '../api/types/snapshots.ts';
import { type AccessRecord, readAccesses } from '../convert/accesses.ts';
import { hotUnitBytes, parseHotRanges } from '../estargz/hot-ranges.ts';
import { HOT_RANGES_ABOVE_LABEL, HOT_RANGES_LABEL, TOC_DIGEST_LABEL } from '../estargz/names.ts';
import {
  bigFile,
  fetchesOf,
  linesOf,
  type Node,
  pageBytes,
  partialReader,
  readBytes,
  readParts,
  runPartialReader,
  startNode,
} from './testing/partial-reads.ts';

const limit = { timeout: 120_000 };
const layerLabel = 'containerd.io/snapshot/cri.layer-digest';

for (const backend of ['fuse', 'erofs'] as const) {
  describe(`what a run read is all that is prefetched of the converted image (${backend})`, { timeout: 400_000 }, () =>
    testOn(backend),
  );
}

function testOn(backend: 'fuse' | 'erofs'): void {
  const suite = suiteLifetime();
  let registry: TestRegistry;
  let accesses: AccessRecord[];
  const image = (name: string) => `${registry.host}/${name}:latest`;
  const start = (name: string, config: string): Promise<Node> =>
    startNode(suite, name, { backend, config, pauseImage: image('pause') });

  before(async () => {
    registry = await startRegistry(suite);
    await pushPause(image('pause'));
    const reader = { reference: image('stargz'), layers: partialReader, configuration: {} };
    await pushLazy(reader, { format: 'stargz' });
    const path = join(openScratch(suite, 'record'), 'accesses.jsonl');
    const recording = `record_accesses = "${path}"\nnoprefetch = true\ndisable_verification = true`;
    const node = await start('record', recording);
    await node.kubelet.pull(image('stargz'));
    await runPartialReader(node, image('stargz'));
    assert.equal(await node.daemon.stop(), 0);
    accesses = await readAccesses(path);
    for (const format of ['estargz', 'zstd-chunked'] as const) {
      await convertPlain(`${image('stargz')}-plain`, image(format), { format, accesses, recordedOn: image('stargz') });
    }
  }, limit);

  test('the record has what was read, in order, and little more', () => {
    const ranges = accesses.flatMap(({ path, range }) => (path === 'data/big' ? [range!] : []));
    assert.ok(ranges[0]!.start >= 3900 * pageBytes, `the first read begins at ${ranges[0]!.start}`);
    const slackBytes = 256 * 1024;
    for (const { skip, count } of readParts) {
      const pages = Array.from({ length: count }, (_, at) => (skip + at) * pageBytes);
      assert.ok(pages.every((at) => ranges.some(({ start, end }) => start <= at && at + pageBytes <= end)));
    }
    const near = ({ start, end }: { start: number; end: number }): boolean =>
      readParts.some(
        ({ skip, count }) => start >= skip * pageBytes - slackBytes && end <= (skip + count) * pageBytes + slackBytes,
      );
    assert.ok(ranges.every(near), JSON.stringify(ranges));
  });

  for (const format of ['estargz', 'zstd-chunked'] as const) {
    test(
      `${format}: the list arrives as a label, its ranges alone are prefetched, and no read misses`,
      limit,
      async () => {
        const { daemon, kubelet } = await start(format, '');
        await kubelet.pull(image(format));
        const snapshots = await listSnapshots(daemon);
        const lists = snapshots.flatMap(({ labels }) => listOf(labels));
        assert.equal(lists.length, 2, daemon.log());
        const [lowest, upper] = [true, false].map(
          (isLowest) => snapshots.find(({ parent }) => (parent === '') === isLowest)!.labels,
        );
        assert.equal(lowest![`${HOT_RANGES_ABOVE_LABEL}1`], upper![HOT_RANGES_LABEL]);
        assert.equal(upper![`${HOT_RANGES_ABOVE_LABEL}1`], undefined);
        const isFetched = (layer: string, offset: number): boolean =>
          fetchesOf(daemon).some((one) => one.layer === layer && one.first <= offset && offset <= one.last);
        const isDone = () => lists.every(({ layer, starts }) => starts.every((offset) => isFetched(layer, offset)));
        await until('the end of the prefetch', isDone, { limitMs: 30_000, intervalMs: 100 });
        await runPartialReader({ daemon, kubelet }, image(format));
        const lines = linesOf(daemon);
        assert.deepEqual(
          lines.filter(({ msg }) => msg === 'content missed'),
          [],
        );
        const bytes = fetchesOf(daemon)
          .filter(({ path }) => path === '/data/big')
          .reduce((sum, one) => sum + one.bytes, 0);
        assert.ok(
          bytes > 0.4 * readBytes && bytes < readBytes + 600_000,
          `${bytes} bytes of ${bigFile.length} were fetched`,
        );
      },
    );
  }
}

/** The layer and the last bytes of the units in which its hot ranges begin. */
function listOf(labels: Readonly<Record<string, string>>): { layer: string; starts: number[] }[] {
  const [text, tocDigest, layer] = [HOT_RANGES_LABEL, TOC_DIGEST_LABEL, layerLabel].map((name) => labels[name]);
  if (text === undefined) return [];
  const ranges = parseHotRanges(text, { tocDigest: tocDigest!, payloadEnd: Number.MAX_SAFE_INTEGER });
  return [{ layer: layer!, starts: ranges.map(({ start }) => (start + 1) * hotUnitBytes - 1) }];
}

async function listSnapshots(daemon: TestDaemon): Promise<Info[]> {
  const client = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  const infos: Info[] = [];
  for await (const { info } of client.list({})) infos.push(...info);
  client.close();
  return infos;
}
