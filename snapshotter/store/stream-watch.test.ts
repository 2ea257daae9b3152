import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStreamWatch } from './stream-watch.ts';

test('a watch goes on while readers do, ends without progress, and starts again', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let calls = 0;
  let moves = true;
  const watch = createStreamWatch(() => {
    calls++;
    return moves;
  });
  t.mock.timers.tick(1000);
  assert.equal(calls, 0);
  watch.start();
  watch.start();
  t.mock.timers.tick(5000);
  assert.equal(calls, 1000);
  moves = false;
  t.mock.timers.tick(5000);
  assert.equal(calls, 1100);
  watch.start();
  t.mock.timers.tick(5);
  assert.equal(calls, 1101);
  watch.stop();
  t.mock.timers.tick(5000);
  assert.equal(calls, 1101);
});
