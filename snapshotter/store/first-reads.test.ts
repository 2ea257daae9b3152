import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocateFirstReads, fileRangesOf, noteFirstReads } from './first-reads.ts';
import { buildTestTable } from './testing/table.ts';

const limit = { timeout: 5_000 };

test('each page is reported once, in runs clipped to the read', limit, () => {
  const seen = new Int32Array(allocateFirstReads(100 * 4096 + 5));
  const reported: [number, number][] = [];
  const read = (offset: number, sizeBytes: number): void =>
    noteFirstReads(seen, offset, sizeBytes, (from, size) => reported.push([from, size]));
  read(4100, 8192);
  read(0, 5 * 4096);
  read(4096, 4096);
  read(100 * 4096, 1 << 30);
  assert.deepEqual(reported.slice(0, 3), [
    [4100, 8192],
    [0, 4096],
    [4 * 4096, 4096],
  ]);
  assert.equal(reported.length, 4);
});

test('a read of the data file is told by file, without the padding between files', limit, () => {
  const member = (sizeBytes: number) => ({ offset: 0, end: 1, sizeBytes });
  const table = buildTestTable([{ members: [member(5000), member(5000)] }, { members: [member(10)] }]);
  const rangesOf = (offset: number, sizeBytes: number) =>
    [...fileRangesOf(table, offset, sizeBytes)].map((range) => [range.inode, range.offset, range.sizeBytes]);
  assert.deepEqual(rangesOf(4096, 1 << 20), [
    [2, 4096, 5904],
    [3, 0, 10],
  ]);
  assert.deepEqual(rangesOf(10_000, 2000), []);
});
