import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sortSamples } from './median.ts';
import { seededRandom } from './random.ts';
import { meanSpeedUp, meanSpeedUpInterval, type Pair, speedUp } from './ratio.ts';

const pair = (baseline: number[], subject: number[]): Pair => ({
  baseline: sortSamples(baseline)!,
  subject: sortSamples(subject)!,
});

test('a speed-up is the ratio of the medians, above 1 if the subject is faster', () => {
  assert.equal(speedUp(pair([8, 10, 12], [1, 2, 90])), 5);
});

test('the mean of speed-ups is geometric, so that twice as fast and half as fast cancel out', () => {
  assert.ok(Math.abs(meanSpeedUp([pair([2], [1]), pair([1], [2])]) - 1) < 1e-12);
  assert.ok(Math.abs(meanSpeedUp([pair([2], [1]), pair([8], [1])]) - 4) < 1e-12);
});

test('the interval contains the estimate, depends on its seed only, and needs six samples per group', () => {
  const baseline = [10, 11, 12, 13, 14, 15, 16];
  const subject = [2, 2.2, 2.4, 2.6, 2.8, 3, 9];
  const measured = pair(baseline, subject);
  const interval = meanSpeedUpInterval([measured], seededRandom(1))!;
  assert.ok(interval.low < 5 && 5 < interval.high, JSON.stringify(interval));
  assert.ok(interval.low >= 10 / 9 && interval.high <= 8, JSON.stringify(interval));
  assert.deepEqual(meanSpeedUpInterval([measured], seededRandom(1)), interval);
  assert.equal(meanSpeedUpInterval([pair(baseline, [1, 2, 3, 4, 5])], seededRandom(1)), undefined);
  assert.equal(meanSpeedUpInterval([measured, pair([1], subject)], seededRandom(1)), undefined);
});
