import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RegistryError, redact } from './error.ts';

describe('a registry error', () => {
  it('names operation, host, failure and remedy on one line', () => {
    const error = new RegistryError('unauthorized', 'HTTP 401', { operation: 'fetch manifest a/b:c', host: 'h:1' });
    const remedy = 'check the credentials for this registry (docker login, imagePullSecrets)';
    assert.equal(error.message, `fetch manifest a/b:c (h:1): HTTP 401; ${remedy}`);
    assert.equal(new RegistryError('protocol', 'two\nlines', { operation: 'x' }).message, 'x: two lines');
  });

  const secrets: readonly [text: string, safe: string][] = [
    ['GET https://cdn.test/blob?X-Amz-Signature=s3cr3t&Expires=1 failed', 'GET https://cdn.test/blob?… failed'],
    ['https://user:s3cr3t@host/path', 'https://host/path'],
    ['authorization: Bearer s3cr3t.s3cr3t', 'authorization: Bearer …'],
    ['sent Basic czNjcjN0OnMzY3IzdA==', 'sent Basic …'],
    ['{"token":"s3cr3t","expires_in":300}', '{"token":…,"expires_in":300}'],
    ['{"password": "s3cr3t"}', '{"password": …}'],
    ['refresh_token=s3cr3t&scope=x', 'refresh_token=…&scope=x'],
  ];
  for (const [text, safe] of secrets) {
    it(`prints ${safe}`, () => assert.equal(redact(text), safe));
  }

  it('does not redact digests, references and plain URLs', () => {
    const text = 'fetch blob sha256:0123 of ghcr.io/a/b:1 from https://ghcr.io/v2/a/b/blobs/sha256:0123 by Basic';
    assert.equal(redact(text), text);
  });

  it('redacts the whole chain of causes', () => {
    const inner = Object.assign(new Error('GET https://a/b?sig=s3cr3t'), {
      code: 'ECONNRESET',
      config: { auth: 's3cr3t' },
    });
    const cause = new AggregateError([inner, 'Bearer s3cr3t'], 'all failed');
    const error = new RegistryError('unreachable', 'x', { operation: 'y', cause });
    const copy = (error.cause as AggregateError).errors[0] as Error & { code: string };
    assert.equal(copy.message, 'GET https://a/b?…');
    assert.equal(copy.code, 'ECONNRESET');
    assert.doesNotMatch(JSON.stringify(error.cause, Object.getOwnPropertyNames(copy)), /s3cr3t/);
  });
});
