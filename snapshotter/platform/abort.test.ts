import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { untilAborted } from './abort.ts';

const limit = { timeout: 5000 };

test('what a promise comes to is passed on, and nothing is left on the signal', limit, async () => {
  const { signal } = new AbortController();
  assert.equal(await untilAborted(Promise.resolve(7), signal), 7);
  await assert.rejects(untilAborted(Promise.reject(new Error('refused')), signal), /refused/);
  await new Promise(setImmediate);
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});

test('an abort ends the wait with its reason, before it and during it', limit, async () => {
  const aborter = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  const waiting = untilAborted(promise, aborter.signal);
  aborter.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(untilAborted(promise, aborter.signal), /enough/);
  // Unhandled, this would end the process.
  reject(new Error('late'));
  await new Promise(setImmediate);
});
