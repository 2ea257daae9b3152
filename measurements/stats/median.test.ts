import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../testkit/random.ts';
import { median, medianInterval, sortSamples } from './median.ts';
import { randomBelow, seededRandom, shuffle } from './random.ts';

test('an empty list has no statistics, and NaN and infinities are rejected', () => {
  assert.equal(sortSamples([]), undefined);
  assert.throws(() => sortSamples([1, Number.NaN]), TypeError);
  assert.throws(() => sortSamples([Number.POSITIVE_INFINITY]), TypeError);
});

test('sorting is numeric and does not change its argument', () => {
  const values = [10, 9, 2];
  assert.deepEqual(sortSamples(values), [2, 9, 10]);
  assert.deepEqual(values, [10, 9, 2]);
});

test('the median is the middle sample, or the mean of the two middle ones', () => {
  assert.equal(median(sortSamples([3, 1, 2])!), 2);
  assert.equal(median(sortSamples([4, 1, 2, 3])!), 2.5);
});

test('the median of fewer than six samples has no 95 % interval', () => {
  assert.equal(medianInterval(sortSamples([1, 2, 3, 4, 5])!), undefined);
});

test('the interval lies between the order statistics of the published tables and the next', () => {
  // Ranks k and n + 1 - k that enclose at least 95 %: Hollander and Wolfe, table for the sign test.
  const ranks = [
    [6, 1],
    [8, 1],
    [9, 2],
    [12, 3],
    [15, 4],
    [20, 6],
    [25, 8],
    [50, 18],
    [100, 40],
  ];
  for (const [n, k] of ranks as [number, number][]) {
    const { low, high } = medianInterval(sortSamples(Array.from({ length: n }, (_, index) => index + 1))!)!;
    assert.ok(k <= low && low < k + 1, `n = ${n}: ${low}`);
    assert.ok(Math.abs(low + high - (n + 1)) < 1e-9, `n = ${n}: ${low} to ${high}`);
  }
});

test('between the second and the third of ten values the interval is where the formula puts it', () => {
  const { low } = medianInterval(sortSamples([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])!)!;
  assert.ok(Math.abs(low - (2 + lambdaOfTen())) < 1e-9, String(low));
});

/** [x(2), x(9)] covers with 1 - 22 / 1024, [x(3), x(8)] with 1 - 112 / 1024. */
function lambdaOfTen(): number {
  const share = (1002 / 1024 - 0.95) / (1002 / 1024 - 912 / 1024);
  return (8 * share) / (2 + 6 * share);
}

test('a seed determines the sequence on every machine', () => {
  const random = seededRandom(1);
  const words = Array.from({ length: 4 }, random);
  assert.deepEqual(words, Array.from({ length: 4 }, seededRandom(1)));
  assert.notDeepEqual(words, Array.from({ length: 4 }, seededRandom(2)));
  assert.deepEqual(words, pinned);
});

test('a shuffle keeps every item, and puts each in every position equally often', () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), fc.integer({ min: 0, max: 2 ** 32 - 1 }), (items, seed) => {
      const byValue = (one: number, other: number) => one - other;
      assert.deepEqual(shuffle(items, seededRandom(seed)).sort(byValue), [...items].sort(byValue));
    }),
  );
  const random = seededRandom(3);
  const places = [0, 0, 0, 0];
  for (let round = 0; round < 8000; round++) places[shuffle([0, 1, 2, 3], random).indexOf(0)]!++;
  for (const count of places) assert.ok(Math.abs(count - 2000) < 250, `${places}`);
});

test('bounded numbers are below their bound', () => {
  const random = seededRandom(5);
  for (let round = 0; round < 1000; round++) assert.ok(randomBelow(3, random) < 3);
});

/** From an independent implementation in Python. Pinned: another generator could not repeat old plans. */
const pinned = [393288148, 2174103013, 3814759091, 2092745082];
