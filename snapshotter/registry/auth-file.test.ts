import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchAuths, readAuths } from './auth-file.ts';

const limit = { timeout: 10_000 };

function hasCredential(key: string, host: string): boolean {
  const entries = readAuths({ [key]: { username: 'u', password: 'p' } }, 'config.json');
  return matchAuths(entries, host, 'team/image').length === 1;
}

test('a star matches within one label, and nothing but a star does', limit, () => {
  assert.ok(hasCredential('*.registry.test', 'eu.registry.test'));
  assert.ok(hasCredential('eu-*.registry.test:5000', 'eu-west.registry.test:5000'));
  assert.ok(hasCredential('a*b*c.test', 'aXbYbZc.test'));
  assert.ok(hasCredential('**.test', 'a.test'));
  assert.ok(!hasCredential('*.registry.test', 'a.b.registry.test'));
  assert.ok(!hasCredential('*.test', 'a.test:5000'));
  assert.ok(!hasCredential('*a.test', 'b.test'));
  assert.ok(!hasCredential('a*.te+t', 'ab.test'));
});

test('a key of many stars does not hold up the look-up', limit, () => {
  assert.ok(!hasCredential(`${'*'.repeat(200)}index.test`, `${'a'.repeat(200)}.test`));
  assert.ok(!hasCredential(`${'*a'.repeat(100)}b.test`, `${'a'.repeat(200)}.test`));
});
