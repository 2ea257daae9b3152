import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adaptivePolicy, createFetchWindow, singlePolicy } from './fetch-window.ts';
import { createLinkEstimate } from './link-estimate.ts';
import { indexMembers } from './member-index.ts';
import { allocatePresence, markUsed } from './presence.ts';
import { readsOfWholeTree, recordedTable, recording, replay } from './testing/replay.ts';
import { buildTestTable } from './testing/table.ts';

const link = { rttMs: 30, bandwidthMbps: 200 };

for (const name of Object.keys(recording.reads)) {
  test(`recorded reads (${name}) take at most 0.6 of one member at a time, and 1.4 of the bytes`, () => {
    const table = recordedTable();
    const single = replay(table, recording.reads[name]!, singlePolicy, link);
    const adaptive = replay(table, recording.reads[name]!, adaptivePolicy, link);
    assert.equal(single.fetchedBytes, single.usedBytes);
    assert.ok(adaptive.totalMs <= 0.6 * single.totalMs, `${adaptive.totalMs} of ${single.totalMs} ms`);
    assert.ok(adaptive.fetchedBytes <= 1.4 * adaptive.usedBytes, `${adaptive.fetchedBytes} for ${adaptive.usedBytes}`);
  });
}

test('a reader of the whole layer in another order than the blob’s is given more and more', () => {
  const table = recordedTable();
  const near = { rttMs: 2.5, bandwidthMbps: 500 };
  const reads = readsOfWholeTree(table);
  const swept = replay(table, reads, adaptivePolicy, near);
  const unswept = replay(table, reads, { ...adaptivePolicy, sweepShare: 0 }, near);
  assert.ok(swept.requests <= 0.65 * unswept.requests, `${swept.requests} requests, ${unswept.requests} without`);
  assert.ok(swept.totalMs < unswept.totalMs, `${swept.totalMs} ms, ${unswept.totalMs} without`);
  assert.ok(swept.fetchedBytes <= 1.01 * swept.usedBytes, `${swept.fetchedBytes} bytes for ${swept.usedBytes}`);
});

test('sweeping costs who reads a part of the layer hardly any bytes', () => {
  const table = recordedTable();
  for (const reads of Object.values(recording.reads)) {
    const swept = replay(table, reads, adaptivePolicy, link);
    const unswept = replay(table, reads, { ...adaptivePolicy, sweepShare: 0 }, link);
    assert.ok(
      swept.fetchedBytes <= 1.03 * unswept.fetchedBytes,
      `${swept.fetchedBytes}, ${unswept.fetchedBytes} without`,
    );
  }
});

/** Files of one member of `sizeBytes` each; `directoryOf` groups them. */
function windowOver(count: number, sizeBytes: number, directoryOf: (file: number) => number) {
  const files = Array.from({ length: count }, (_, at) => ({
    members: [{ offset: at * sizeBytes, end: (at + 1) * sizeBytes, sizeBytes }],
  }));
  const table = buildTestTable(files);
  for (let file = 0; file < count; file++) table.parent[file + 2] = 1_000_000 + directoryOf(file);
  const bits = new Int32Array(allocatePresence(table.chunkCount));
  const fetched = new Set<number>();
  const window = createFetchWindow(table, indexMembers(table, 'test'), bits, createLinkEstimate());
  const miss = (member: number) => {
    markUsed(bits, member);
    const plan = window.plan(member, member, (one) => !fetched.has(one));
    for (const span of [plan.demand, ...plan.ahead]) {
      for (let one = span.first; one <= span.last; one++) fetched.add(one);
    }
    return plan;
  };
  return { window, miss, fetched, use: (member: number) => markUsed(bits, member) };
}

test('a miss brings its directory’s small files on both sides, and no other directory’s', () => {
  const { miss, fetched } = windowOver(40, 1000, (file) => Math.floor(file / 10));
  const plan = miss(14);
  assert.deepEqual(plan.demand, { first: 10, last: 19 });
  assert.equal(fetched.size, 10);
});

test('what lies far before the missed member comes by a request of its own', () => {
  const { miss } = windowOver(10, 20_000, () => 0);
  const plan = miss(8);
  assert.equal(plan.demand.first, 8);
  assert.equal(plan.ahead.length, 1);
  assert.equal(plan.ahead[0]!.last, 7);
});

test('a reader of scattered files in large directories stays within the budget', () => {
  const { window, miss, fetched } = windowOver(20_000, 10_000, (file) => Math.floor(file / 200));
  let usedBytes = 0;
  for (let member = 100; member < 20_000; member += 200) {
    if (!fetched.has(member)) miss(member);
    usedBytes += 10_000;
  }
  const floorBytes = adaptivePolicy.floorWindows * createLinkEstimate().windowBytes();
  assert.ok(fetched.size * 10_000 <= (1 + adaptivePolicy.unusedShare) * usedBytes + floorBytes);
  assert.equal(window.accounts().unusedBytes, fetched.size * 10_000 - usedBytes);
});

test('a sequential reader is given more and more', () => {
  const { miss, fetched, use } = windowOver(5000, 10_000, (file) => file);
  let misses = 0;
  for (let member = 0; member < 5000; member++) {
    use(member);
    if (fetched.has(member)) continue;
    misses++;
    miss(member);
  }
  assert.ok(misses < 100, `${misses} misses`);
});
