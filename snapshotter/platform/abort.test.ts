import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { untilAborted } from './abort.ts';

const limit = { timeout: 5000 };

test('the outcome of a promise is passed on, and no listener is left on the signal', limit, async () => {
  const { signal } = new AbortController();
  assert.equal(await untilAborted(Promise.resolve(7), signal), 7);
  await assert.rejects(untilAborted(Promise.reject(new Error('refused')), signal), /refused/);
  await new Promise(setImmediate);
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});

test('an abort before or during the wait rejects with the reason of the signal', limit, async () => {
  const aborter = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  const waiting = untilAborted(promise, aborter.signal);
  aborter.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(untilAborted(promise, aborter.signal), /enough/);
  // An unhandled rejection would end the process.
  reject(new Error('late'));
  await new Promise(setImmediate);
});
