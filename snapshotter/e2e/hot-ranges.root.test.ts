import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { startContainerd } from '../../testkit/containerd.ts';
import { startDaemon, type TestDaemon } from '../../testkit/daemon.ts';
import { convertPlain, copyPrograms, pushLazy, pushPause, writeInto } from '../../testkit/images.ts';
import { type Kubelet, openKubelet } from '../../testkit/kubelet.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { until } from '../../testkit/until.ts';
import { openClient } from '../api/client.ts';
import type { Info } from '../api/types/snapshots.ts';
import { type AccessRecord, readAccesses } from '../convert/accesses.ts';
import { hotUnitBytes, parseHotRanges } from '../estargz/hot-ranges.ts';
import { HOT_RANGES_ABOVE_LABEL, HOT_RANGES_LABEL, TOC_DIGEST_LABEL } from '../estargz/names.ts';
import { pseudoRandomBytes } from '../store/testing/blob.ts';

const limit = { timeout: 120_000 };
const layerLabel = 'containerd.io/snapshot/cri.layer-digest';

for (const backend of ['fuse', 'erofs'] as const) {
  describe(`what a run read is all that is prefetched of the converted image (${backend})`, { timeout: 400_000 }, () =>
    testOn(backend),
  );
}

interface Node {
  readonly daemon: TestDaemon;
  readonly kubelet: Kubelet;
}

function testOn(backend: 'fuse' | 'erofs'): void {
  const suite = suiteLifetime();
  let registry: TestRegistry;
  let accesses: AccessRecord[];
  const image = (name: string) => `${registry.host}/${name}:latest`;
  const big = pseudoRandomBytes(24_000_000, 4711);
  const page = 4096;
  /** Of the file's pages: the last part first. */
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
        `no_background_fetch = true\n${config}\n[mount]\nbackend = "${backend}"\n[cri_keychain]\nenable_keychain = true\n` +
        `image_service_path = "${join(directory, 'c/containerd.sock')}"\n`,
      logLevel: 'trace',
    });
    const containerd = await startContainerd(suite, join(directory, 'c'), {
      snapshotter: 'stargz',
      snapshotterAddress: daemon.address,
      pauseImage: image('pause'),
    });
    return { daemon, kubelet: openKubelet(suite, directory, containerd.address, daemon.address) };
  };
  const run = async ({ daemon, kubelet }: Node, name: string): Promise<void> => {
    const { exitCode, output } = await kubelet.run(image(name), ['/bin/sh', '-c', script]);
    assert.deepEqual([exitCode, output.trimEnd().split('\n')], [0, expected], daemon.log());
  };

  before(async () => {
    registry = await startRegistry(suite);
    await pushPause(image('pause'));
    const layers = [copyPrograms(['/bin/sh', '/bin/dd', '/usr/bin/cksum']), writeInto('data/big', big)];
    await pushLazy({ reference: image('stargz'), layers, configuration: {} }, { format: 'stargz' });
    const path = join(openScratch(suite, 'record'), 'accesses.jsonl');
    const recording = `record_accesses = "${path}"\nnoprefetch = true\ndisable_verification = true`;
    const node = await startNode('record', recording);
    await node.kubelet.pull(image('stargz'));
    await run(node, 'stargz');
    assert.equal(await node.daemon.stop(), 0);
    accesses = await readAccesses(path);
    for (const format of ['estargz', 'zstd-chunked'] as const) {
      await convertPlain(`${image('stargz')}-plain`, image(format), { format, accesses, recordedOn: image('stargz') });
    }
  }, limit);

  test('the record has what was read, in order, and little more', () => {
    const ranges = accesses.flatMap(({ path, range }) => (path === 'data/big' ? [range!] : []));
    assert.ok(ranges[0]!.start >= 3900 * page, `the first read begins at ${ranges[0]!.start}`);
    const slackBytes = 256 * 1024;
    for (const { skip, count } of parts) {
      const pages = Array.from({ length: count }, (_, at) => (skip + at) * page);
      assert.ok(pages.every((at) => ranges.some(({ start, end }) => start <= at && at + page <= end)));
    }
    const near = ({ start, end }: { start: number; end: number }): boolean =>
      parts.some(({ skip, count }) => start >= skip * page - slackBytes && end <= (skip + count) * page + slackBytes);
    assert.ok(ranges.every(near), JSON.stringify(ranges));
  });

  for (const format of ['estargz', 'zstd-chunked'] as const) {
    test(
      `${format}: the list arrives as a label, its ranges alone are prefetched, and no read misses`,
      limit,
      async () => {
        const { daemon, kubelet } = await startNode(format, '');
        await kubelet.pull(image(format));
        const snapshots = await listSnapshots(daemon);
        const lists = snapshots.flatMap(({ labels }) => listOf(labels));
        assert.equal(lists.length, 2, daemon.log());
        const [lowest, upper] = [true, false].map(
          (isLowest) => snapshots.find(({ parent }) => (parent === '') === isLowest)!.labels,
        );
        assert.equal(lowest![`${HOT_RANGES_ABOVE_LABEL}1`], upper![HOT_RANGES_LABEL]);
        assert.equal(upper![`${HOT_RANGES_ABOVE_LABEL}1`], undefined);
        const fetched = () => linesOf(daemon).filter(({ msg }) => msg === 'content fetched');
        const isFetched = (layer: string, offset: number): boolean =>
          fetched().some((line) => line.layer === layer && contains(line.range as string, offset));
        const isDone = () => lists.every(({ layer, starts }) => starts.every((offset) => isFetched(layer, offset)));
        await until('the end of the prefetch', isDone, { limitMs: 30_000, intervalMs: 100 });
        await run({ daemon, kubelet }, format);
        const lines = linesOf(daemon);
        assert.deepEqual(
          lines.filter(({ msg }) => msg === 'content missed'),
          [],
        );
        const bytes = fetched()
          .filter(({ path }) => path === '/data/big')
          .reduce((sum, line) => sum + (line.bytes as number), 0);
        const readBytes = parts.reduce((sum, { count: pages }) => sum + pages * page, 0);
        assert.ok(
          bytes > 0.4 * readBytes && bytes < readBytes + 600_000,
          `${bytes} bytes of ${big.length} were fetched`,
        );
      },
    );
  }
}

interface Line {
  readonly msg: string;
  readonly [field: string]: unknown;
}

function linesOf(daemon: TestDaemon): Line[] {
  const lines = daemon.log().split('\n');
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line);
}

/** The layer and the last bytes of the units in which its hot ranges begin. */
function listOf(labels: Readonly<Record<string, string>>): { layer: string; starts: number[] }[] {
  const [text, tocDigest, layer] = [HOT_RANGES_LABEL, TOC_DIGEST_LABEL, layerLabel].map((name) => labels[name]);
  if (text === undefined) return [];
  const ranges = parseHotRanges(text, { tocDigest: tocDigest!, payloadEnd: Number.MAX_SAFE_INTEGER });
  return [{ layer: layer!, starts: ranges.map(({ start }) => (start + 1) * hotUnitBytes - 1) }];
}

function contains(range: string, offset: number): boolean {
  const [first, last] = range.split('-').map(Number);
  return first! <= offset && offset <= last!;
}

async function listSnapshots(daemon: TestDaemon): Promise<Info[]> {
  const client = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  const infos: Info[] = [];
  for await (const { info } of client.list({})) infos.push(...info);
  client.close();
  return infos;
}
