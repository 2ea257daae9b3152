import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sortSamples } from './median.ts';
import { geometricMean, type Pairs, pairedRatio, unpairedRatio } from './ratio.ts';

const pairs = (reference: number[], subject: number[]) =>
  reference.map((value, round) => ({ reference: value, subject: subject[round]! })) as unknown as Pairs;
const near = (actual: number | undefined, expected: number) =>
  assert.ok(actual !== undefined && Math.abs(actual - expected) < 1e-9, `${actual}, not ${expected}`);

test('a paired ratio is the median of the rounds, so that what slows a whole round cancels out', () => {
  near(pairedRatio(pairs([10, 1000, 20], [5, 500, 10])).ratio, 0.5);
  near(pairedRatio(pairs([10, 10, 10, 10], [1, 2, 8, 90])).ratio, 0.4);
});

test('exchanging the sides inverts a ratio and its interval', () => {
  const [one, other] = [
    [10, 11, 12, 13, 14, 15, 16, 17],
    [2, 2.5, 2.2, 2.4, 3, 2.8, 9, 4],
  ];
  const sorted = [sortSamples(one!)!, sortSamples(other!)!] as const;
  for (const [there, back] of [
    [pairedRatio(pairs(one!, other!)), pairedRatio(pairs(other!, one!))],
    [unpairedRatio(sorted[0], sorted[1]), unpairedRatio(sorted[1], sorted[0])],
  ] as const) {
    near(there.ratio, 1 / back.ratio);
    near(there.interval?.low, 1 / back.interval!.high);
    near(there.interval?.high, 1 / back.interval!.low);
    assert.ok(there.interval!.low < there.ratio && there.ratio < there.interval!.high);
  }
});

test('fewer than six rounds have no interval, and three on either side none that is not paired', () => {
  assert.equal(pairedRatio(pairs([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])).interval, undefined);
  assert.equal(unpairedRatio(sortSamples([1, 2, 3])!, sortSamples([1, 2, 3])!).interval, undefined);
  assert.ok(unpairedRatio(sortSamples([1, 2, 3, 4])!, sortSamples([1, 2, 3, 4])!).interval);
});

test('the interval of two runs takes the rank of the published table of the Mann-Whitney test', () => {
  // Critical values at 5 %, two-sided, for 5 and 5, 8 and 8, 10 and 10, 20 and 20: 2, 13, 23, 127 (Hollander and Wolfe, table A.6).
  for (const [n, critical] of [
    [5, 2],
    [8, 13],
    [10, 23],
    [20, 127],
  ] as const) {
    const values = Array.from({ length: n }, (_, index) => 2 ** index);
    const logs = values.flatMap((value) => values.map((other) => Math.log(value / other))).sort((a, b) => a - b);
    const sorted = sortSamples(values)!;
    near(unpairedRatio(sorted, sorted).interval?.low, Math.exp(logs[critical]!));
  }
});

test('the mean of ratios is geometric, so that twice as fast and half as fast cancel out', () => {
  near(geometricMean([2, 0.5]), 1);
  near(geometricMean([2, 8]), 4);
});
