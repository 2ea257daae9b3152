import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeError } from './log.ts';

test('an error is described with its causes, outermost first', () => {
  const refused = Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' });
  assert.equal(
    describeError(new Error('cannot write to the layer store', { cause: refused })),
    'cannot write to the layer store: EIO: i/o error, write',
  );
});

test('a cause that an outer message quotes is not repeated', () => {
  const inner = new Error('status 503');
  assert.equal(describeError(new Error('mount failed: status 503', { cause: inner })), 'mount failed: status 503');
});

test('an AggregateError, a thrown string and a multi-line message give one line', () => {
  const both = new AggregateError([new Error('::1 refused'), new Error('127.0.0.1 refused')], '');
  assert.equal(
    describeError(new Error('cannot\n  connect', { cause: both })),
    'cannot connect: ::1 refused, 127.0.0.1 refused',
  );
  assert.equal(describeError('text'), 'text');
  assert.equal(describeError(new Error('x'.repeat(5000))).length, 1024);
});

test('an error that is its own cause is described once', () => {
  const error = new Error('round');
  error.cause = error;
  assert.equal(describeError(error), 'round');
});
