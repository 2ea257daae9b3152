import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, shuffle } from './random.ts';
import { findTrend } from './trend.ts';

test('five values in rising order are one of 120 orders, and so are five in falling order', () => {
  const trend = findTrend([1, 2, 3, 4, 5])!;
  assert.ok(Math.abs(trend.p - 2 / 120) < 1e-12, String(trend.p));
  assert.equal(trend.change, 4);
  assert.equal(findTrend([5, 4, 3, 2, 1])!.change, -4);
  assert.equal(findTrend([1, 2, 3, 4]), undefined);
});

test('the change is that of most pairs, not of one jump', () => {
  const { change } = findTrend([0, 1, 2, 300, 4, 5, 6])!;
  assert.ok(Math.abs(change - 6) < 1e-12, String(change));
});

test('values without a trend have p = 1, and in random order p is below 5 % at most that often', () => {
  assert.ok(findTrend([1, 1, 1, 1, 1, 1])!.p > 0.999_999);
  const random = seededRandom(11);
  for (const n of [6, 10, 61]) {
    const values = Array.from({ length: n }, (_, index) => index);
    let found = 0;
    for (let trial = 0; trial < 2000; trial++) if (findTrend(shuffle(values, random))!.p <= 0.05) found++;
    assert.ok(found <= 2000 * 0.06, `n = ${n}: ${found} of 2000`);
    assert.ok(found > 0, `n = ${n}`);
  }
});
