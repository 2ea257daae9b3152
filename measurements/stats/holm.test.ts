import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adjustForMany } from './holm.ts';

test('the smallest p counts for all comparisons, the next for one fewer, and the order is kept', () => {
  // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
  const adjusted = adjustForMany([0.01, 0.04, 0.03, 0.005]);
  assert.deepEqual(
    adjusted.map((p) => Math.round(p * 1e6) / 1e6),
    [0.03, 0.06, 0.06, 0.02],
  );
  assert.deepEqual(adjustForMany([0.9, 0.8]), [1, 1]);
  assert.deepEqual(adjustForMany([0.03]), [0.03]);
  assert.deepEqual(adjustForMany([]), []);
});
