import assert from 'node:assert/strict';
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sealJson, unsealJson } from '../platform/sealed-json.ts';
import { diskError, StoreError } from './error.ts';
import { adaptivePolicy, singlePolicy } from './fetch-window.ts';
import { createLinkEstimate } from './link-estimate.ts';
import { isRangePresent } from './presence.ts';
import { pseudoRandomBytes } from './testing/blob.ts';
import { ensureFile, limit, openBench, readFile, signal, someFiles } from './testing/store-bench.ts';

test('ensured bytes are the file’s content, and a second ensure asks the registry nothing', limit, async (t) => {
  const files = someFiles(5, 10_000);
  const { store, source } = await openBench(t, files, { policy: singlePolicy });
  assert.equal(store.isPresent(store.table.dataOffset[4]!, 10_000), false);
  await ensureFile(store, 2);
  assert.deepEqual(readFile(store, 2), files[2]!.content);
  assert.equal(store.isPresent(store.table.dataOffset[4]!, 10_000), true);
  assert.equal(source.requests.length, 1);
  await ensureFile(store, 2);
  assert.equal(source.requests.length, 1);
  assert.equal(store.presentChunks(), 1);
});

test('a file of many chunks, small pieces and large streamed members comes out whole', limit, async (t) => {
  const files = [
    { name: 'a', content: pseudoRandomBytes(3_000_001, 1) },
    { name: 'b', content: pseudoRandomBytes(5_000_000, 2) },
    { name: 'c', content: pseudoRandomBytes(17, 3) },
  ];
  for (const chunkSizeBytes of [100_000, 4 * 1024 * 1024]) {
    for (const pieceBytes of [777, 65_536]) {
      const { store } = await openBench(t, files, { chunkSizeBytes, pieceBytes });
      await Promise.all([ensureFile(store, 1), ensureFile(store, 0), ensureFile(store, 2)]);
      for (const at of [0, 1, 2]) assert.ok(readFile(store, at).equals(files[at]!.content), `file ${at}`);
      assert.equal(store.complete, true);
    }
  }
});

test('readers of one member share one request', limit, async (t) => {
  const { store, source } = await openBench(t, someFiles(3, 50_000), { policy: singlePolicy });
  await Promise.all(Array.from({ length: 10 }, () => ensureFile(store, 1)));
  assert.equal(source.requests.length, 1);
});

test('neighbouring misses of one range become one request', limit, async (t) => {
  const { store, source, blob } = await openBench(t, [{ name: 'big', content: pseudoRandomBytes(500_000, 9) }], {
    chunkSizeBytes: 50_000,
    policy: singlePolicy,
  });
  await store.ensure(100_000, 200_000, 'demand', signal);
  assert.deepEqual(source.requests, [{ start: blob.members[2]!.offset, end: blob.members[5]!.end }]);
  assert.equal(store.presentChunks(), 4);
});

test('readers of distant members are served by concurrent requests', limit, async (t) => {
  const { store, source } = await openBench(t, someFiles(40, 60_000), { policy: singlePolicy });
  let open: () => void = () => {};
  source.gate = new Promise((resolve) => (open = resolve));
  const all = Promise.all([0, 8, 16, 24, 32, 39].map((at) => ensureFile(store, at)));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(source.requests.length, 6);
  open();
  await all;
});

test('a damaged chunk is an error, is not stored, and spares its neighbours', limit, async (t) => {
  for (const sizeBytes of [9000, 3_000_000]) {
    const files = someFiles(3, sizeBytes);
    const { store } = await openBench(t, files, { damage: (member) => member.name === 'f0001' });
    await assert.rejects(ensureFile(store, 1), (error) => error instanceof StoreError && error.code === 'corrupt');
    assert.equal(store.isPresent(store.table.dataOffset[3]!, sizeBytes), false);
    await Promise.all([ensureFile(store, 0), ensureFile(store, 2)]);
    assert.ok(readFile(store, 2).equals(files[2]!.content));
    assert.equal(store.presentChunks(), 2);
  }
});

test('without digests in the TOC the member’s own checksum decides', limit, async (t) => {
  const files = someFiles(3, 400_000);
  const { store, blob, source } = await openBench(t, files, { withoutDigests: true, policy: singlePolicy });
  await ensureFile(store, 0);
  assert.ok(readFile(store, 0).equals(files[0]!.content));
  assert.equal(source.requests.length, 1);
  // The checksum stands in the last 8 bytes of the member.
  blob.bytes[blob.members[1]!.end - 8]! ^= 0x55;
  await assert.rejects(ensureFile(store, 1), (error) => error instanceof StoreError && error.code === 'corrupt');
  assert.equal(store.presentChunks(), 1);
});

test(
  'a transfer that breaks off keeps what arrived, fails the rest, and the next ensure tries again',
  limit,
  async (t) => {
    const files = [{ name: 'big', content: pseudoRandomBytes(2_000_000, 5) }];
    const { store, source } = await openBench(t, files, { chunkSizeBytes: 50_000, policy: singlePolicy });
    source.failure = { error: new Error('connection reset'), afterBytes: 300_000 };
    await assert.rejects(ensureFile(store, 0), (error) => error instanceof StoreError && error.code === 'fetch');
    assert.ok(store.presentChunks() > 0);
    assert.equal(store.complete, false);
    source.failure = undefined;
    await ensureFile(store, 0);
    assert.ok(readFile(store, 0).equals(files[0]!.content));
  },
);

test('others have turns while little blob becomes much content', limit, async (t) => {
  const one = [{ name: 'bomb', content: Buffer.alloc(64 << 20) }];
  const many = Array.from({ length: 128 }, (_, at) => ({ name: `f${at}`, content: Buffer.alloc(1 << 20) }));
  for (const files of [one, many]) {
    const { store } = await openBench(t, files);
    let turns = 0;
    const count = (): void => {
      turns++;
      if (!store.complete) setImmediate(count);
    };
    setImmediate(count);
    await store.prefetch(store.meta.footer.payloadEnd, signal);
    assert.equal(store.complete, true);
    // One without any pause; how many more, the machine's speed decides.
    assert.ok(turns > 4, `${turns} turns`);
  }
});

test('an aborted wait ends, the fetch goes on for others', limit, async (t) => {
  const files = someFiles(2, 20_000);
  const { store, source } = await openBench(t, files, { policy: singlePolicy });
  let open: () => void = () => {};
  source.gate = new Promise((resolve) => (open = resolve));
  const aborter = new AbortController();
  const given = store.ensure(0, 100, 'demand', aborter.signal);
  const patient = ensureFile(store, 0);
  aborter.abort(new Error('interrupted'));
  await assert.rejects(given, /interrupted/);
  open();
  await patient;
  assert.equal(source.requests.length, 1);
});

test(
  'a reader overtakes a queued prefetch: its member comes out of the queue and is not fetched twice',
  limit,
  async (t) => {
    const files = someFiles(200, 40_000);
    const { store, source, blob } = await openBench(t, files, { policy: singlePolicy });
    let open: () => void = () => {};
    source.gate = new Promise((resolve) => (open = resolve));
    const prefetched = store.prefetch(blob.footer.tocOffset);
    const before = source.requests.length;
    await new Promise((resolve) => setImmediate(resolve));
    const wanted = ensureFile(store, 199);
    await new Promise((resolve) => setImmediate(resolve));
    open();
    await Promise.all([wanted, prefetched]);
    assert.ok(source.requests.length > before);
    assert.equal(store.complete, true);
    assert.ok(
      source.bytesSent <= blob.footer.tocOffset * 1.1,
      `${source.bytesSent} bytes for a blob of ${blob.footer.tocOffset}`,
    );
  },
);

test('background filling completes the layer and says so', limit, async (t) => {
  const { store, blob, source } = await openBench(t, someFiles(300, 30_000));
  let completed = 0;
  store.onComplete(() => completed++);
  await ensureFile(store, 150);
  await store.fill(signal);
  assert.equal(store.complete, true);
  assert.equal(completed, 1);
  assert.ok(source.bytesSent <= blob.footer.tocOffset * 1.05);
});

test('background filling stops reading while a reader waits', limit, async (t) => {
  const { store, source, scheduler } = await openBench(t, someFiles(60, 60_000), { policy: singlePolicy });
  let open: () => void = () => {};
  source.gate = new Promise((resolve) => (open = resolve));
  const filling = store.fill(signal);
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(scheduler.running().background > 0);
  let endDemand: () => void = () => {};
  scheduler.submit('another', 'demand', () => new Promise((resolve) => (endDemand = resolve)));
  open();
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(store.presentChunks(), 0);
  endDemand();
  await filling;
  assert.equal(store.complete, true);
});

test('a reopened store still has what it had, without the registry', limit, async (t) => {
  const files = someFiles(20, 30_000);
  const { store, source, reopen, root } = await openBench(t, files, { policy: singlePolicy });
  await Promise.all([ensureFile(store, 3), ensureFile(store, 7)]);
  await store.close();
  assert.ok(readdirSync(root).every((name) => !name.startsWith('.new-')));
  source.failure = { error: new Error('unreachable') };
  const again = await reopen();
  assert.deepEqual([again.presentChunks(), again.unverifiedChunks()], [0, 2]);
  await ensureFile(again, 7);
  assert.deepEqual([again.presentChunks(), again.unverifiedChunks()], [1, 1]);
  assert.ok(readFile(again, 7).equals(files[7]!.content));
  await assert.rejects(ensureFile(again, 8), (error) => error instanceof StoreError && error.code === 'fetch');
  source.failure = undefined;
  await ensureFile(again, 8);
  assert.ok(readFile(again, 8).equals(files[8]!.content));
});

test('a damaged store is refused, whatever was damaged', limit, async (t) => {
  const damages: Record<string, (directory: string) => void> = {
    'a changed TOC': (directory) =>
      writeFileSync(join(directory, 'toc'), readFileSync(join(directory, 'toc')).fill(7, 60, 70)),
    'a cut data file': (directory) => truncateSync(join(directory, 'data'), 5),
    'meta.json of another layer': (directory) => {
      const meta = unsealJson(readFileSync(join(directory, 'meta.json'), 'utf8')) as object;
      writeFileSync(join(directory, 'meta.json'), sealJson({ ...meta, digest: `sha256:${'0'.repeat(64)}` }));
    },
    'one digit of meta.json': (directory) => {
      const text = readFileSync(join(directory, 'meta.json'), 'utf8');
      writeFileSync(join(directory, 'meta.json'), text.replace('registry.test', 'registry.tesu'));
    },
    'meta.json of a later version': (directory) =>
      writeFileSync(join(directory, 'meta.json'), sealJson({ version: 3 })),
    'no meta.json': (directory) => unlinkSync(join(directory, 'meta.json')),
    'a symbolic link for data': (directory) => {
      unlinkSync(join(directory, 'data'));
      symlinkSync('/etc/passwd', join(directory, 'data'));
    },
  };
  for (const [what, damage] of Object.entries(damages)) {
    const { store, reopen } = await openBench(t, someFiles(3, 100));
    await store.close();
    damage(store.directory);
    await assert.rejects(reopen, (error) => error instanceof StoreError && error.code === 'damaged', what);
  }
});

test('only a full disk is answered with the advice to free space', limit, () => {
  const refusal = (code: string): string =>
    diskError('layer', 'cannot write', Object.assign(new Error(code), { code })).message;
  assert.deepEqual(
    ['EIO', 'EACCES', 'ENOSPC', 'EDQUOT'].map((code) => refusal(code).includes('free space')),
    [false, false, true, true],
  );
});

test('an unusable bitmap costs the cache, not the store', limit, async (t) => {
  const { store, reopen } = await openBench(t, someFiles(3, 100));
  await ensureFile(store, 0);
  await store.close();
  writeFileSync(join(store.directory, 'bitmap'), 'rubbish');
  const again = await reopen();
  assert.equal(again.unverifiedChunks(), 0);
  await ensureFile(again, 0);
});

test('closing ends transfers and rejects those who wait', limit, async (t) => {
  const { store, source } = await openBench(t, someFiles(3, 100));
  source.gate = new Promise(() => {});
  const waiting = ensureFile(store, 0);
  const closed = store.close();
  await assert.rejects(waiting, (error) => error instanceof StoreError && error.code === 'closed');
  await closed;
  await assert.rejects(ensureFile(store, 1), (error) => error instanceof StoreError && error.code === 'closed');
  assert.ok(existsSync(store.directory));
});

test('the data file stays sparse where nothing was fetched', limit, async (t) => {
  const { store } = await openBench(t, someFiles(50, 100_000), { policy: singlePolicy });
  await ensureFile(store, 25);
  assert.ok(statSync(store.dataPath).blocks * 512 <= 200_000);
});

test('a sequential reader needs few requests, a scattered one few bytes', limit, async (t) => {
  const files = someFiles(2000, 8_000);
  const sequential = await openBench(t, files);
  for (let at = 0; at < 1000; at++) await ensureFile(sequential.store, at);
  assert.ok(sequential.source.requests.length <= 60, `${sequential.source.requests.length} requests`);

  const scattered = await openBench(t, files);
  let readBytes = 0;
  for (let at = 0; at < 2000; at += 19) {
    await ensureFile(scattered.store, at);
    readBytes += scattered.blob.members[at]!.end - scattered.blob.members[at]!.offset;
  }
  // The window before anything was measured; on this link of no latency it only shrinks.
  const floorBytes = adaptivePolicy.floorWindows * createLinkEstimate().windowBytes();
  assert.ok(
    scattered.source.bytesSent <= 1.4 * readBytes + floorBytes,
    `${scattered.source.bytesSent} for ${readBytes}`,
  );
});

test('a reader that finds its range in the bitmap marks it as used', limit, async (t) => {
  const { store } = await openBench(t, someFiles(10, 5_000));
  await ensureFile(store, 0);
  const bits = new Int32Array(store.present);
  await store.ensure(0, store.table.dataSizeBytes, 'prefetch', signal);
  assert.ok((store.snapshot().speculatedUnusedBytes as number) > 0);
  assert.equal(isRangePresent(store.table, bits, 0, store.table.dataSizeBytes), true);
  assert.equal(store.snapshot().speculatedUnusedBytes, 0);
  assert.equal(isRangePresent(store.table, bits, 0, 1), true);
});
