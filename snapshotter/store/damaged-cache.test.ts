import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { singlePolicy } from './fetch-window.ts';
import { pseudoRandomBytes } from './testing/blob.ts';
import { ensureFile, limit, openBench, readFile, signal, someFiles } from './testing/store-bench.ts';
import { buildTestTable } from './testing/table.ts';
import { createUnverifiedChunks } from './unverified-chunks.ts';

function overwrite(path: string, at: number, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
}

test('content damaged on disk between two starts is fetched again and never served', limit, async (t) => {
  for (const sizeBytes of [20_000, 3_000_000]) {
    const files = someFiles(4, sizeBytes);
    const { store, source, reopen } = await openBench(t, files, { policy: singlePolicy });
    for (const at of [0, 1, 2]) await ensureFile(store, at);
    await store.close();
    overwrite(store.dataPath, store.table.dataOffset[3]! + sizeBytes - 1, Buffer.from([0x5a, 0x5a]));
    const fetched = source.requests.length;
    const again = await reopen();
    await ensureFile(again, 0);
    assert.equal(source.requests.length, fetched);
    await ensureFile(again, 1);
    assert.equal(source.requests.length, fetched + 1);
    for (const at of [0, 1]) assert.ok(readFile(again, at).equals(files[at]!.content), `file ${at}`);
    await again.close();
    assert.equal((await reopen()).unverifiedChunks(), 3);
  }
});

test('without a registry damaged content is an error, and what is intact is served', limit, async (t) => {
  const files = someFiles(3, 50_000);
  const { store, source, reopen } = await openBench(t, files);
  await store.fill(signal);
  await store.close();
  overwrite(store.dataPath, store.table.dataOffset[2]!, Buffer.from([files[0]!.content[0]! ^ 1]));
  source.failure = { error: new Error('unreachable') };
  const again = await reopen();
  await assert.rejects(ensureFile(again, 0), { code: 'fetch' });
  await ensureFile(again, 1);
  assert.ok(readFile(again, 1).equals(files[1]!.content));
});

test('a bitmap that claims more than was stored makes no hole readable', limit, async (t) => {
  const files = someFiles(40, 10_000);
  const { store, source, reopen } = await openBench(t, files, { policy: singlePolicy });
  await ensureFile(store, 3);
  await store.close();
  const path = join(store.directory, 'bitmap');
  const bitmap = readFileSync(path);
  writeFileSync(path, bitmap.fill(0xff, 32));
  const again = await reopen();
  assert.equal(again.unverifiedChunks(), 40);
  const before = source.requests.length;
  await ensureFile(again, 3);
  assert.equal(source.requests.length, before);
  await ensureFile(again, 20);
  assert.ok(readFile(again, 20).equals(files[20]!.content));
  await again.verify(signal);
  assert.deepEqual([again.presentChunks(), again.unverifiedChunks()], [2, 0]);
});

test(
  'background work verifies all that is on disk, completes the layer and asks the registry nothing',
  limit,
  async (t) => {
    for (const [count, sizeBytes] of [
      [300, 700],
      [6, 4_000_000],
    ] as const) {
      const { store, source, reopen } = await openBench(t, someFiles(count, sizeBytes));
      await store.fill(signal);
      await store.close();
      source.failure = { error: new Error('unreachable') };
      const again = await reopen();
      let completed = 0;
      again.onComplete(() => completed++);
      const reading = ensureFile(again, 5);
      assert.equal(again.complete, false);
      await Promise.all([again.verify(signal), reading]);
      assert.deepEqual([again.complete, completed, again.presentChunks()], [true, 1, count]);
    }
  },
);

test('what is on disk unverified is not fetched ahead, by prefetch, filling or a window', limit, async (t) => {
  const files = someFiles(100, 10_000);
  const { store, source, blob, reopen } = await openBench(t, files);
  await store.fill(signal);
  await store.close();
  overwrite(store.dataPath, store.table.dataOffset[52]!, Buffer.alloc(100));
  const before = source.requests.length;
  const again = await reopen();
  await again.prefetch(blob.members[20]!.offset, signal);
  assert.equal(again.presentChunks(), 20);
  await again.fill(signal);
  assert.equal(source.requests.length, before);
  await ensureFile(again, 50);
  assert.deepEqual(source.requests.slice(before), [{ start: blob.members[50]!.offset, end: blob.members[50]!.end }]);
});

test('content without a digest in the TOC is held to the digest it had when it was stored', limit, async (t) => {
  for (const sizeBytes of [5_000, 2_000_000]) {
    const files = someFiles(3, sizeBytes);
    const { store, source, reopen } = await openBench(t, files, { withoutDigests: true, policy: singlePolicy });
    for (const at of [0, 1]) await ensureFile(store, at);
    await store.close();
    overwrite(store.dataPath, 17, Buffer.from('damage'));
    const fetched = source.requests.length;
    const again = await reopen();
    await ensureFile(again, 1);
    assert.equal(source.requests.length, fetched);
    await ensureFile(again, 0);
    assert.equal(source.requests.length, fetched + 1);
    assert.ok(readFile(again, 0).equals(files[0]!.content));
    await again.close();
    rmSync(join(store.directory, 'digests'));
    const without = await reopen();
    await ensureFile(without, 1);
    assert.equal(source.requests.length, fetched + 2);
  }
});

test('a store closed while it is verified reads no more of the data file', limit, async (t) => {
  const { store, reopen } = await openBench(t, someFiles(8, 4_000_000));
  await store.fill(signal);
  await store.close();
  const again = await reopen();
  const verified = assert.rejects(again.verify(signal), { code: 'closed' });
  const reading = ensureFile(again, 3);
  await again.close();
  await verified;
  await assert.rejects(reading);
});

test('a chunk overwritten while it is verified is not marked by what was read before', limit, async (t) => {
  const content = pseudoRandomBytes(300_000, 1);
  const { store, blob } = await openBench(t, [{ name: 'f', content }]);
  const member = blob.members[0]!;
  await ensureFile(store, 0);
  const sizeBytes = content.length;
  const table = buildTestTable([{ members: [{ offset: member.offset, end: member.end, sizeBytes }] }], true);
  const settled: string[] = [];
  const unverified = createUnverifiedChunks({
    table,
    words: Int32Array.from([1]),
    dataFd: store.dataFd,
    digestOf: () => store.table.chunkDigest.subarray(0, 32),
    verified: () => settled.push('verified'),
    damaged: () => settled.push('damaged'),
  });
  const verifying = unverified.verify(0, 1);
  unverified.drop(0);
  await verifying;
  assert.deepEqual([settled, unverified.count], [[], 0]);
});

test('a data file cut short is made anew, not read beyond its end', limit, async (t) => {
  const { store, reopen } = await openBench(t, someFiles(2, 100));
  await ensureFile(store, 0);
  await store.close();
  truncateSync(store.dataPath, 5);
  await assert.rejects(reopen, { code: 'damaged' });
});
