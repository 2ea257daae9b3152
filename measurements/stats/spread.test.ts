import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sortSamples } from './median.ts';
import { isOutlier, medianAbsoluteDeviation, quantile, standardDeviation } from './spread.ts';

test('the spread of a few values is that of a textbook', () => {
  const values = sortSamples([2, 4, 4, 4, 5, 5, 7, 9])!;
  assert.equal(standardDeviation(values), Math.sqrt(32 / 7));
  assert.equal(medianAbsoluteDeviation(values), 0.5);
  assert.deepEqual(
    [0, 0.25, 0.5, 0.75, 1].map((share) => quantile(values, share)),
    [2, 4, 4.5, 5.5, 9],
  );
});

test('one value has quartiles and no deviation', () => {
  const one = sortSamples([3])!;
  assert.equal(standardDeviation(one), undefined);
  assert.equal(quantile(one, 0.75), 3);
});

test('a value far from the others is flagged, among six or more', () => {
  const values = sortSamples([10, 10.1, 9.9, 10.2, 9.8, 14])!;
  assert.deepEqual(
    values.filter((value) => isOutlier(value, values)),
    [14],
  );
  const few = sortSamples([10, 10.1, 9.9, 10.2, 14])!;
  assert.deepEqual(
    few.filter((value) => isOutlier(value, few)),
    [],
  );
});
