import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adaptivePolicy, createFetchWindow, singlePolicy } from './fetch-window.ts';
import { createLinkEstimate } from './link-estimate.ts';
import { indexMembers } from './member-index.ts';
import { allocatePresence, markUsed } from './presence.ts';
import { readingOfLargeFile, readingOfWholeTree, readRecording, recordedWorkloads } from './testing/recording.ts';
import { replay } from './testing/replay.ts';
import { buildTestTable } from './testing/table.ts';

const link = { rttMs: 30, bandwidthMbps: 200 };

/** Of one member a time. python reads little; tomcat and postgres work for long. */
const mostTime = { python: 0.72, gcc: 0.56, postgres: 0.7, tomcat: 0.74, numpy: 0.42 };

for (const name of recordedWorkloads) {
  test(`recorded reads (${name}) take at most ${mostTime[name]} of one member a time, and 1.25 of the bytes`, () => {
    const recording = readRecording(name);
    const single = replay(recording, singlePolicy, link, { followsNames: false });
    const adaptive = replay(recording, adaptivePolicy, link);
    assert.equal(single.fetchedBytes, single.usedBytes);
    assert.equal(single.requests, recording.reads.length);
    assert.ok(adaptive.totalMs <= mostTime[name] * single.totalMs, `${adaptive.totalMs} of ${single.totalMs} ms`);
    assert.ok(adaptive.fetchedBytes <= 1.25 * adaptive.usedBytes, `${adaptive.fetchedBytes} for ${adaptive.usedBytes}`);
  });
}

const wholeTree = readingOfWholeTree(readRecording('numpy').layers[5]!);

test('a reader of the whole layer in another order than the blob’s is given more and more', () => {
  const near = { rttMs: 2.5, bandwidthMbps: 500 };
  const swept = replay(wholeTree, adaptivePolicy, near);
  const unswept = replay(wholeTree, { ...adaptivePolicy, sweepShare: 0 }, near);
  assert.ok(swept.requests <= 0.75 * unswept.requests, `${swept.requests} requests, ${unswept.requests} without`);
  assert.ok(swept.totalMs < unswept.totalMs, `${swept.totalMs} ms, ${unswept.totalMs} without`);
  assert.ok(swept.fetchedBytes <= 1.01 * swept.usedBytes, `${swept.fetchedBytes} bytes for ${swept.usedBytes}`);
});

test('sweeping costs who reads a part of the layer few bytes', () => {
  for (const name of recordedWorkloads) {
    const swept = replay(readRecording(name), adaptivePolicy, link);
    const unswept = replay(readRecording(name), { ...adaptivePolicy, sweepShare: 0 }, link);
    assert.ok(
      swept.fetchedBytes <= 1.12 * unswept.fetchedBytes,
      `${swept.fetchedBytes}, ${unswept.fetchedBytes} without`,
    );
  }
});

for (const near of [{ rttMs: 0.2, bandwidthMbps: 1000 }, link, { rttMs: 100, bandwidthMbps: 200 }]) {
  test(`a large file read from its start to its end comes at link speed: ${near.rttMs} ms, ${near.bandwidthMbps} Mbit/s`, () => {
    const memberBytes = 4 * 1024 * 1024;
    const memberMs = memberBytes / (near.bandwidthMbps * 125);
    const { totalMs, idleMs, fetchedBytes } = replay(
      readingOfLargeFile(64, memberBytes, memberMs / 4),
      adaptivePolicy,
      near,
    );
    // The first two members come one after the other: nothing is known before the second.
    assert.ok(idleMs <= 2 * near.rttMs + 0.01, `idle for ${idleMs} ms`);
    assert.ok(totalMs <= 66 * memberMs + 2 * near.rttMs, `${totalMs} ms for 64 members of ${memberMs} ms`);
    assert.equal(fetchedBytes, 64 * memberBytes);
  });
}

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

test('two readers of one file, each in order, have a stream each', () => {
  const memberBytes = 1024 * 1024;
  const members = Array.from({ length: 200 }, (_, at) => ({
    ...{ offset: at * memberBytes, end: (at + 1) * memberBytes, sizeBytes: memberBytes },
  }));
  const table = buildTestTable([{ members }]);
  const bits = new Int32Array(allocatePresence(table.chunkCount));
  const window = createFetchWindow(table, indexMembers(table, 'test'), bits, createLinkEstimate());
  const flying = new Set<number>();
  const read = (member: number): number => {
    markUsed(bits, member);
    const isFree = (one: number) => !flying.has(one);
    const spans = flying.has(member) ? window.follow([member], isFree) : [];
    const plan = flying.has(member) ? undefined : window.plan(member, member, isFree);
    for (const span of [...spans, ...(plan === undefined ? [] : [plan.demand, ...plan.ahead])]) {
      for (let one = span.first; one <= span.last; one++) flying.add(one);
    }
    return plan === undefined ? 0 : 1;
  };
  let misses = 0;
  for (let at = 0; at < 40; at++) misses += read(at) + read(100 + at);
  assert.equal(misses, 2);
  assert.ok(flying.has(50) && flying.has(150) && !flying.has(80));
});

test('a profile’s prefetch is not extended by guesses', () => {
  const { window } = windowOver(100, 10_000, () => 0);
  assert.deepEqual(
    window.follow([3], () => true),
    [],
  );
});
