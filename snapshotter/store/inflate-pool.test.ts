import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { zstdCompressSync } from 'node:zlib';
import type { BlobSource } from '../registry/blob-source.ts';
import { createDiskReserve } from './disk-reserve.ts';
import { StoreError } from './error.ts';
import { singlePolicy } from './fetch-window.ts';
import { slotBytes, slotCount } from './inflate-message.ts';
import { InflatePool } from './inflate-pool.ts';
import type { LayerStore } from './layer-store.ts';
import { indexMembers } from './member-index.ts';
import type { ChunkTarget } from './member-reader.ts';
import { allocatePresence, isPresent, markPresent } from './presence.ts';
import { pseudoRandomBytes } from './testing/blob.ts';
import { ensureFile, limit, openBench, readFile, signal, someFiles } from './testing/store-bench.ts';
import { buildTestTable } from './testing/table.ts';

/** A data file and the target of a layer whose files are one member each, compressed with zstd. */
async function openLayer(t: TestContext, contents: readonly Buffer[]) {
  const root = await mkdtemp(join(tmpdir(), 'inflate-pool-'));
  const path = join(root, 'data');
  const dataFd = openSync(path, 'wx+');
  const inflaters = new InflatePool();
  t.after(async () => {
    await inflaters.close();
    closeSync(dataFd);
    rmSync(root, { recursive: true });
  });
  const compressed = contents.map((content) => zstdCompressSync(content));
  let offset = 0;
  const table = buildTestTable(
    contents.map((chunk, at) => {
      const member = { offset, end: offset + compressed[at]!.length, sizeBytes: chunk.length, chunk };
      offset = member.end;
      return { members: [member] };
    }),
  );
  const bits = new Int32Array(allocatePresence(table.chunkCount));
  const overwritten: number[] = [];
  const target: ChunkTarget = {
    subject: 'layer',
    table,
    index: indexMembers(table, 'layer'),
    bits,
    dataFd,
    reserve: createDiskReserve(root),
    compression: 'zstd',
    chunkOverwritten: (chunk) => void overwritten.push(chunk),
    chunkStored: (chunk) => markPresent(bits, chunk),
  };
  const layer = inflaters.openLayer(target);
  /** `wants` may be changed. */
  const owner = () => {
    const settled: [member: number, code: string | undefined][] = [];
    return {
      settled,
      wants: (_member: number): boolean => true,
      isUrgent: () => false,
      note: (member: number, error?: StoreError) => void settled.push([member, error?.code]),
    };
  };
  type Owner = ReturnType<typeof owner>;
  const openLane = (of: Owner, ending: AbortSignal = signal) =>
    layer.openLane({ wants: (member) => of.wants(member), isUrgent: of.isUrgent, settled: of.note }, ending)!;
  const contentOf = (at: number): Buffer => {
    const start = table.chunkDataOffset[at]!;
    return readFileSync(path).subarray(start, start + contents[at]!.length);
  };
  return { dataFd, compressed, bits, overwritten, owner, openLane, contentOf };
}

test('members of any size and compression come through the thread, in pieces of any size', limit, async (t) => {
  const contents = [20, 40_000, 300_000, 3_000_000].map((sizeBytes) => pseudoRandomBytes(sizeBytes, sizeBytes));
  for (const pieceBytes of [999, 70_000, 10_000_000]) {
    const { openLane, owner, compressed, contentOf, bits, overwritten } = await openLayer(t, contents);
    const transfer = owner();
    const lane = openLane(transfer);
    for (const [member, bytes] of compressed.entries()) {
      for (let at = 0; at < bytes.length; at += pieceBytes)
        await lane.write(member, bytes.subarray(at, at + pieceBytes), at + pieceBytes >= bytes.length);
    }
    await lane.drain();
    await lane.close();
    assert.deepEqual(
      transfer.settled,
      contents.map((_, member) => [member, undefined]),
    );
    for (const [member, content] of contents.entries()) {
      assert.ok(isPresent(bits, member));
      assert.ok(contentOf(member).equals(content), `member ${member}`);
    }
    assert.deepEqual(overwritten, [3], 'the streamed one, once');
  }
});

test('a damaged member is refused by itself, and what is around it is stored', limit, async (t) => {
  const contents = [30_000, 2_000_000, 30_000, 2_000_000].map((sizeBytes, at) => pseudoRandomBytes(sizeBytes, at));
  const { openLane, owner, compressed, contentOf, bits } = await openLayer(t, contents);
  const transfer = owner();
  const lane = openLane(transfer);
  for (const [member, bytes] of compressed.entries()) {
    const sent = Buffer.from(bytes);
    if (member < 2) sent[sent.length >> 1]! ^= 0xff;
    await lane.write(member, sent, true);
  }
  await lane.drain();
  await lane.close();
  assert.deepEqual(transfer.settled, [
    [0, 'corrupt'],
    [1, 'corrupt'],
    [2, undefined],
    [3, undefined],
  ]);
  assert.deepEqual(
    contents.map((_, member) => isPresent(bits, member)),
    [false, false, true, true],
  );
  for (const member of [2, 3]) assert.ok(contentOf(member).equals(contents[member]!));
});

test('no more than the slots is on its way to the thread, and readers have some of them', limit, async (t) => {
  const content = pseudoRandomBytes(8_000_000, 1);
  const { openLane, owner, compressed } = await openLayer(t, [content, content]);
  const transfer = owner();
  const lane = openLane(transfer);
  let taken = 0;
  const bytes = compressed[0]!;
  assert.ok(bytes.length > 2 * slotCount * slotBytes);
  const writing = (async () => {
    for (let at = 0; at < bytes.length; at += slotBytes) {
      await lane.write(0, bytes.subarray(at, at + slotBytes), at + slotBytes >= bytes.length);
      taken++;
    }
  })();
  // Promises settle, and no message of the thread is received: all that can be taken without it was taken.
  for (let turn = 0; turn < 1000; turn++) await Promise.resolve();
  assert.ok(taken > 0 && taken < slotCount, `${taken} slots`);
  const reader = owner();
  reader.isUrgent = () => true;
  const urgent = openLane(reader);
  let hasRoom = false;
  void urgent.write(1, compressed[1]!.subarray(0, 100), false).then(() => {
    hasRoom = true;
  });
  for (let turn = 0; turn < 1000; turn++) await Promise.resolve();
  assert.equal(hasRoom, true);
  await Promise.all([urgent.close(), writing]);
  await lane.drain();
  await lane.close();
  assert.deepEqual(transfer.settled, [[0, undefined]]);
});

test('a lane that is closed while its bytes are inflated writes nothing afterwards', limit, async (t) => {
  const bomb = Buffer.alloc(64 << 20, 'x');
  const { dataFd, openLane, owner, compressed, bits, contentOf } = await openLayer(t, [bomb, Buffer.alloc(10, 'y')]);
  const aborter = new AbortController();
  const transfer = owner();
  const lane = openLane(transfer, aborter.signal);
  await lane.write(0, compressed[0]!, true);
  const drained = lane.drain();
  while (contentOf(0).length === 0) await nextTurn();
  aborter.abort(new Error('released'));
  await assert.rejects(drained, /released/);
  await lane.close();
  ftruncateSync(dataFd, 0);
  assert.equal(isPresent(bits, 0), false);
  assert.deepEqual(transfer.settled, []);
  // The slots are free again.
  const after = owner();
  const next = openLane(after);
  await next.write(1, compressed[1]!, true);
  await next.drain();
  await next.close();
  assert.deepEqual(after.settled, [[1, undefined]]);
  assert.ok(contentOf(1).equals(Buffer.alloc(10, 'y')));
  assert.ok(contentOf(0).equals(Buffer.alloc(bomb.length)), 'written after it was closed');
});

test('a store that is closed while a thread writes into its data file closes after that', limit, async (t) => {
  const { store } = await openBench(t, [{ name: 'zeros', content: Buffer.alloc(256 << 20) }]);
  const prefetching = store.prefetch(store.meta.footer.payloadEnd, signal);
  while (statSync(store.dataPath).blocks === 0) await nextTurn();
  const failed = assert.rejects(prefetching, { code: 'closed' });
  await store.close();
  await failed;
  const { blocks, size } = statSync(store.dataPath);
  await nextTurn();
  assert.deepEqual([statSync(store.dataPath).blocks, statSync(store.dataPath).size], [blocks, size]);
});

test('the death of the thread fails what it had not stored, and the next read starts another', limit, async (t) => {
  const files = someFiles(3, 3_000_000);
  const { store, inflaters, source } = await openBench(t, files, { policy: singlePolicy });
  await ensureFile(store, 0);
  const sent = source.bytesSent;
  const reading = ensureFile(store, 1);
  while (source.bytesSent === sent) await nextTurn();
  await crash(inflaters, store);
  await assert.rejects(reading, (error) => {
    assert.ok(error instanceof StoreError && error.code === 'fetch');
    assert.match(error.message, /thread that inflates content died; the next read fetches it again/);
    return true;
  });
  assert.equal(store.isPresent(store.table.dataOffset[3]!, 3_000_000), false);
  await Promise.all([ensureFile(store, 1), ensureFile(store, 2)]);
  for (const at of [0, 1, 2]) assert.ok(readFile(store, at).equals(files[at]!.content), `file ${at}`);
});

/** Gives the thread a layer whose data file is not open. */
async function crash(inflaters: InflatePool, { table, present }: LayerStore): Promise<void> {
  const broken: ChunkTarget = {
    subject: 'broken',
    table,
    index: indexMembers(table, 'broken'),
    bits: new Int32Array(present),
    dataFd: -1,
    reserve: { use: () => {} },
    compression: 'gzip',
    chunkOverwritten: () => {},
    chunkStored: () => {},
  };
  const owner = { wants: () => true, isUrgent: () => true, settled: () => {} };
  const lane = inflaters.openLayer(broken).openLane(owner, signal)!;
  await lane.write(0, Buffer.alloc(100), false);
  await assert.rejects(lane.drain(), { code: 'fetch' });
  await lane.close();
}

test('damage from one server is blamed on it, and another is asked', limit, async (t) => {
  for (const sizeBytes of [400_000, 3_000_000]) {
    const files = someFiles(2, sizeBytes);
    const { store, source } = await openBench(t, files, { policy: singlePolicy });
    const blamed: string[][] = [];
    let damages = true;
    const sent: BlobSource['fetchRange'] = source.fetchRange;
    source.fetchRange = async function* (start, end, ending, onServer) {
      onServer?.(damages ? 'bad' : 'good');
      for await (const bytes of sent(start, end, ending)) {
        if (damages) bytes[bytes.length >> 1]! ^= 0x40;
        yield bytes;
      }
    };
    source.distrust = (servers) => {
      blamed.push([...servers]);
      damages = false;
      return true;
    };
    await ensureFile(store, 1);
    assert.deepEqual(blamed, [['bad']]);
    assert.ok(readFile(store, 1).equals(files[1]!.content));
    assert.equal(store.presentChunks(), 1);
  }
});

test('everything can also be done without threads', limit, async (t) => {
  const files = [...someFiles(3, 20_000), ...someFiles(2, 3_000_000)].map((file, at) => ({ ...file, name: `n${at}` }));
  const { store } = await openBench(t, files, { threads: 0 });
  await store.prefetch(store.meta.footer.payloadEnd, signal);
  for (const [at, { content }] of files.entries()) assert.ok(readFile(store, at).equals(content), `file ${at}`);
});

test('prefetching much content takes little memory', { timeout: 60_000 }, async (t) => {
  const content = pseudoRandomBytes(1_000_000, 1);
  const files = Array.from({ length: 100 }, (_, at) => ({ name: `f${at}`, content }));
  const { store } = await openBench(t, files, { pieceBytes: 65_536 });
  await store.ensure(0, 1, 'prefetch', signal);
  const { external, arrayBuffers } = process.memoryUsage();
  let peakBytes = 0;
  let isDone = false;
  const prefetched = store.prefetch(store.meta.footer.payloadEnd, signal).finally(() => {
    isDone = true;
  });
  while (!isDone) {
    const now = process.memoryUsage();
    peakBytes = Math.max(peakBytes, now.external - external, now.arrayBuffers - arrayBuffers);
    await nextTurn();
  }
  await prefetched;
  assert.equal(store.complete, true);
  assert.ok(peakBytes < 4 << 20, `${peakBytes} bytes`);
});
