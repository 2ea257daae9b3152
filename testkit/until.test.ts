import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './until.ts';

const limit = { timeout: 10_000 };

test('resolves with the first truthy value', limit, async () => {
  const values = [0, '', undefined, false, 'there', 'too late'];
  assert.equal(await until('a word', () => values.shift(), { limitMs: 5000 }), 'there');
  assert.deepEqual(values, ['too late']);
});

test('a condition that throws or rejects is not met yet', limit, async () => {
  let calls = 0;
  const condition = async () => {
    if (++calls < 3) throw new Error('connection refused');
    return calls;
  };
  assert.equal(await until('a server', condition, { limitMs: 5000 }), 3);
});

test('a failure names what did not come, the limit and the last value', limit, async () => {
  await assert.rejects(
    until('two keepers', () => undefined, { limitMs: 50 }),
    {
      message: 'two keepers: not within 0.05 s; last value: undefined',
    },
  );
});

test('a failure carries the last error as its cause', limit, async () => {
  const cause = new Error('connection refused');
  const failing = until('a server', () => Promise.reject(cause), { limitMs: 50 });
  await assert.rejects(failing, { message: 'a server: not within 0.05 s; last error: connection refused', cause });
});

test('the limit also ends a condition that never returns', limit, async () => {
  await assert.rejects(
    until('an answer', () => new Promise(() => {}), { limitMs: 50 }),
    {
      message: 'an answer: not within 0.05 s; the condition never returned',
    },
  );
});

test('rejects with the reason of an aborted signal', limit, async () => {
  const controller = new AbortController();
  const waiting = until('nothing', () => false, { limitMs: 5000, signal: controller.signal });
  const reason = new Error('the run was interrupted');
  controller.abort(reason);
  await assert.rejects(waiting, reason);
});
