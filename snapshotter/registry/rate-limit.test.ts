import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRateLimit } from './rate-limit.ts';

test("Docker Hub's headers are a count and a window", () => {
  const headers = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' };
  assert.deepEqual(parseRateLimit(headers), { limit: 100, remaining: 76, windowSec: 21_600 });
  const bare = { 'ratelimit-limit': '100', 'ratelimit-remaining': ['0'] };
  assert.deepEqual(parseRateLimit(bare), { limit: 100, remaining: 0, windowSec: undefined });
});

test('headers of other forms are no limit', () => {
  assert.equal(parseRateLimit({}), undefined);
  assert.equal(parseRateLimit({ 'ratelimit-limit': '100;w=1' }), undefined);
  assert.equal(parseRateLimit({ 'ratelimit-limit': 'limit=10', 'ratelimit-remaining': '9' }), undefined);
});
