import assert from 'node:assert/strict';
import { test } from 'node:test';
import { takeAtOnce, takeTurns } from './steps.ts';

function* busySteps(count: number): Generator<void, string, void> {
  for (let step = 0; step < count; step++) {
    const endMs = performance.now() + 1;
    while (performance.now() < endMs);
    yield;
  }
  return 'done';
}

test('work in steps yields to the event loop and returns its result', { timeout: 10_000 }, async () => {
  let others = 0;
  let running = true;
  const run = (): void => {
    others++;
    if (running) setImmediate(run);
  };
  setImmediate(run);
  assert.equal(await takeTurns(busySteps(40)), 'done');
  running = false;
  // 40 ms of work in slices of a few: with no turns there would be none.
  assert.ok(others >= 3, `${others} turns`);
  assert.equal(takeAtOnce(busySteps(2)), 'done');
});

test('an error in a step rejects', { timeout: 10_000 }, async () => {
  function* failing(): Generator<void, void, void> {
    yield;
    throw new RangeError('step 2');
  }
  await assert.rejects(takeTurns(failing()), RangeError);
});
