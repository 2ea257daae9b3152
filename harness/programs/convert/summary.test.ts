import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Converter, type ConvertTiming, limitsOf } from './summary.ts';

function timing(converter: Converter, sample: number, convertMs: number, convertedBytes: number): ConvertTiming {
  return { image: 'python', converter, level: 6, sample, convertMs, sourceBytes: 1000, convertedBytes };
}

test('time and size are held to those of ctr-remote, by the medians', { timeout: 5_000 }, () => {
  const peer = [9000, 9300, 90_000].map((ms, index) => timing('ctr-remote', index + 1, ms, 1000));
  const fast = [3000, 3100, 1].map((ms, index) => timing('ours', index + 1, ms, 1020));
  assert.deepEqual(
    limitsOf([...peer, ...fast]).map(({ met }) => met),
    [true, true],
  );
  const slow = [3200, 3300, 1].map((ms, index) => timing('ours', index + 1, ms, 1021));
  assert.deepEqual(
    limitsOf([...peer, ...slow]).map(({ met }) => met),
    [false, false],
  );
});
