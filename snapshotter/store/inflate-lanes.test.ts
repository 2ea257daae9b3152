import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createInflateLanes } from './inflate-lanes.ts';
import { type MessageFromInflater, slotBytes, slotCount } from './inflate-message.ts';
import { indexMembers } from './member-index.ts';
import { allocatePresence } from './presence.ts';
import { pseudoRandomBytes } from './testing/blob.ts';
import { buildTestTable } from './testing/table.ts';

const limit = { timeout: 20_000 };

/** What a thread does, step by step, with a layer of two files of one member each. */
function openLanes(t: TestContext, contents: readonly [Buffer, Buffer], dataPath?: string) {
  const path = dataPath ?? join(tmpdir(), `inflate-lanes-${process.pid}-${performance.now()}`);
  const dataFd = openSync(path, dataPath === undefined ? 'wx+' : 'r+');
  if (dataPath === undefined) unlinkSync(path);
  t.after(() => closeSync(dataFd));
  const compressed = contents.map((content) => gzipSync(content, { level: 1 }));
  let offset = 0;
  const table = buildTestTable(
    contents.map((chunk, at) => {
      const member = { offset, end: offset + compressed[at]!.length, sizeBytes: chunk.length, chunk };
      offset = member.end;
      return { members: [member] };
    }),
  );
  const slots = new SharedArrayBuffer(slotCount * slotBytes);
  const replies: MessageFromInflater[] = [];
  const lanes = createInflateLanes(slots, (message) => void replies.push(message));
  lanes.receive({
    kind: 'add-layer',
    layer: 7,
    subject: 'layer',
    table: table.shared,
    index: indexMembers(table, 'layer'),
    present: allocatePresence(table.chunkCount),
    dataFd,
    compression: 'gzip',
  });
  let slot = 0;
  /** Posts the bytes in as many slots as they need. */
  function write(
    lane: number,
    member: number,
    bytes: Buffer,
    options: { isUrgent?: boolean; isPart?: boolean } = {},
  ): void {
    for (let at = 0; at < bytes.length; at += slotBytes) {
      const sizeBytes = Math.min(slotBytes, bytes.length - at);
      Buffer.from(slots, slot * slotBytes, sizeBytes).set(bytes.subarray(at, at + sizeBytes));
      const isLast = options.isPart !== true && at + sizeBytes === bytes.length;
      const pieces = [{ member, offset: 0, sizeBytes, isLast }];
      lanes.receive({ kind: 'write', lane, layer: 7, slot: slot++, isUrgent: options.isUrgent === true, pieces });
    }
  }
  function settled(lane: number): (readonly [member: number, code: string | undefined])[] {
    return replies.flatMap((reply) =>
      reply.kind === 'written' && reply.lane === lane
        ? reply.settled.map(({ member, error }) => [member, error?.code] as const)
        : [],
    );
  }
  const read = (at: number): Buffer => {
    const start = table.chunkDataOffset[at]!;
    return readFileSync(`/proc/self/fd/${dataFd}`).subarray(start, start + contents[at]!.length);
  };
  return { lanes, compressed, replies, write, settled, read };
}

test('bytes that a transfer left in the queue are not written over those of the next one', limit, (t) => {
  const large = Buffer.concat([pseudoRandomBytes(700_000, 1), Buffer.alloc(600_000)]);
  const wrong = gzipSync(Buffer.from(large).fill('x', 100_000), { level: 0 });
  for (const startedSteps of [0, 1, 3]) {
    const { lanes, compressed, write, settled, read } = openLanes(t, [large, Buffer.alloc(1)]);
    write(1, 0, wrong.subarray(0, 5 * slotBytes), { isPart: true });
    for (let step = 0; step < startedSteps; step++) lanes.step();
    write(2, 0, compressed[0]!, { isUrgent: true });
    while (lanes.step());
    assert.deepEqual(settled(2), [[0, undefined]]);
    assert.deepEqual(settled(1), []);
    assert.ok(read(0).equals(large), `after ${startedSteps} steps`);
  }
});

test('what is urgent goes first, also before the rest of bytes that expand a lot', limit, (t) => {
  const bomb = Buffer.alloc(32 << 20);
  const { lanes, compressed, write, settled } = openLanes(t, [bomb, pseudoRandomBytes(1000, 1)]);
  write(1, 0, compressed[0]!);
  lanes.step();
  write(2, 1, compressed[1]!, { isUrgent: true });
  // A second step if this machine was slow. The rest of the first lane would take seven.
  for (let step = 0; step < 2 && settled(2).length === 0; step++) lanes.step();
  assert.deepEqual(settled(2), [[1, undefined]]);
  assert.deepEqual(settled(1), []);
  while (lanes.step());
  assert.deepEqual(settled(1), [[0, undefined]]);
});

test('lanes of one urgency take turns', limit, (t) => {
  const bomb = Buffer.alloc(32 << 20);
  const { lanes, compressed, write, settled } = openLanes(t, [bomb, pseudoRandomBytes(1000, 1)]);
  write(1, 0, compressed[0]!);
  write(2, 1, compressed[1]!);
  for (let step = 0; step < 4 && settled(2).length === 0; step++) lanes.step();
  assert.deepEqual(settled(2), [[1, undefined]]);
  assert.deepEqual(settled(1), []);
});

test('the end of a lane ends its writing in the middle of a member', limit, (t) => {
  const bomb = Buffer.alloc(32 << 20, 'x');
  const { lanes, compressed, replies, write, read } = openLanes(t, [bomb, Buffer.alloc(1)]);
  write(1, 0, compressed[0]!);
  lanes.step();
  lanes.receive({ kind: 'end', lane: 1 });
  const writtenBytes = read(0).length;
  assert.ok(writtenBytes > 0 && writtenBytes < bomb.length);
  assert.equal(lanes.step(), false);
  assert.equal(read(0).length, writtenBytes);
  assert.deepEqual(replies, [{ kind: 'ended', lane: 1 }]);
});

test('a disk that cannot be written to fails the lane, with its reason, and returns its slots', limit, (t) => {
  // Every write to it fails with ENOSPC.
  const large = pseudoRandomBytes(1_200_000, 1);
  const { lanes, compressed, replies, write } = openLanes(t, [large, Buffer.alloc(1)], '/dev/full');
  write(1, 0, compressed[0]!);
  while (lanes.step());
  assert.ok(replies.length > 1);
  const failures = replies.flatMap((reply) => (reply.kind === 'written' && reply.failure ? [reply.failure] : []));
  assert.equal(failures.length, 1);
  assert.deepEqual([failures[0]!.code, failures[0]!.cause?.code], ['disk', 'ENOSPC']);
  assert.deepEqual(
    replies.map((reply) => reply.kind === 'written' && reply.slot),
    replies.map((_, slot) => slot),
  );
});
