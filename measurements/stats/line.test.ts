import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitLine } from './line.ts';

test('the line of least squares goes through points that lie on one, and between those that do not', () => {
  const on = fitLine([1, 2, 5].map((x) => ({ x, y: 3 - 2 * x })));
  assert.ok(Math.abs(on!.slope + 2) < 1e-12 && Math.abs(on!.intercept - 3) < 1e-12);
  assert.deepEqual(
    fitLine([
      { x: 0, y: 0 },
      { x: 1, y: 1 },
      { x: 2, y: 0 },
    ]),
    { slope: 0, intercept: 1 / 3 },
  );
});

test('no line goes through less than two points, or through points above one another', () => {
  assert.equal(fitLine([]), undefined);
  assert.equal(fitLine([{ x: 1, y: 1 }]), undefined);
  assert.equal(
    fitLine([
      { x: 1, y: 1 },
      { x: 1, y: 2 },
    ]),
    undefined,
  );
});
