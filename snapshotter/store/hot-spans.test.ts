import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planHotSpans } from './hot-spans.ts';
import { buildTestTable } from './testing/table.ts';

const limit = { timeout: 5_000 };
const link = { windowBytes: () => 100 * 512 };

/** Members of `sizeUnits` each, in units of 512 bytes, from offset 0 on. */
function tableOf(count: number, sizeUnits: number) {
  const members = Array.from({ length: count }, (_, at) => ({
    offset: at * sizeUnits * 512,
    end: (at + 1) * sizeUnits * 512,
    sizeBytes: 4096,
  }));
  return buildTestTable([{ members }]);
}

const placesOf = (spans: ReturnType<typeof planHotSpans>) => spans.map(({ first, last }) => [first, last]);

test('a member is in the range in which it begins', limit, () => {
  const table = tableOf(10, 10);
  const ranges = [
    { start: 50, end: 51, rank: 0 },
    { start: 11, end: 31, rank: 1 },
    { start: 91, end: 99, rank: 2 },
  ];
  assert.deepEqual(placesOf(planHotSpans(table, ranges, link)), [
    [5, 5],
    [2, 3],
  ]);
});

test('the smallest gaps are read through, within a share of the hot bytes', limit, () => {
  const table = tableOf(1000, 1);
  const ranges = [
    { start: 0, end: 100, rank: 0 },
    { start: 105, end: 200, rank: 1 },
    { start: 215, end: 300, rank: 2 },
    { start: 900, end: 901, rank: 3 },
  ];
  assert.deepEqual(placesOf(planHotSpans(table, ranges, link)), [
    [0, 199],
    [215, 299],
    [900, 900],
  ]);
});

test('long ranges are split, and each part has the rank of its place', limit, () => {
  const table = tableOf(10, 1024);
  const spans = planHotSpans(table, [{ start: 0, end: 10 * 1024, rank: 5 }], link);
  assert.deepEqual(
    spans.map(({ first, last, rank }) => [first, last, rank]),
    [0, 1, 2, 3, 4].map((part) => [2 * part, 2 * part + 1, 5 + 16 * part]),
  );
});
