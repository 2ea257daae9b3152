import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../../testkit/random.ts';
import { digestOf } from './digest.ts';
import { formatReference, manifestName, parseReference } from './reference.ts';

const digest = digestOf('anything');

describe('an image reference', () => {
  const readings: readonly [text: string, full: string][] = [
    ['python', 'docker.io/library/python:latest'],
    ['python:3.11', 'docker.io/library/python:3.11'],
    ['bitnami/redis', 'docker.io/bitnami/redis:latest'],
    ['docker.io/python', 'docker.io/library/python:latest'],
    ['index.docker.io/library/python', 'docker.io/library/python:latest'],
    ['localhost/image', 'localhost/image:latest'],
    ['localhost:5000/image:tag', 'localhost:5000/image:tag'],
    ['127.0.0.1:5000/a/b/c', '127.0.0.1:5000/a/b/c:latest'],
    ['[::1]:5000/a', '[::1]:5000/a:latest'],
    [`ghcr.io/team/image@${digest}`, `ghcr.io/team/image@${digest}`],
    [`ghcr.io/team/image:1.2@${digest}`, `ghcr.io/team/image:1.2@${digest}`],
    ['MyHost/image', 'MyHost/image:latest'],
    ['a/b__c/d-e--f.g', 'docker.io/a/b__c/d-e--f.g:latest'],
  ];
  for (const [text, full] of readings) {
    it(`reads ${text.replace(digest, 'DIGEST')} as ${full.replace(digest, 'DIGEST')}`, () => {
      assert.equal(formatReference(parseReference(text)), full);
      assert.deepEqual(parseReference(full), parseReference(text));
    });
  }

  const refusals = [
    '',
    'UPPER',
    'a//b',
    '/a',
    'a/',
    'docker.io/',
    'a b',
    'a:tag with space',
    `a:${'x'.repeat(129)}`,
    'a@sha256:short',
    `a@sha512:${'0'.repeat(128)}`,
    'host:port/a',
    'a/../b',
    'https://ghcr.io/a',
    'ghcr.io/a?x=1',
    'ghcr.io/a\nb',
    `a/${'b'.repeat(260)}`,
    'x'.repeat(2000),
  ];
  for (const text of refusals) {
    it(`refuses ${JSON.stringify(text.slice(0, 40))} in one line with a remedy`, () => {
      assert.throws(() => parseReference(text), { code: 'invalid-reference', message: /^[^\n]*; write it as [^\n]*$/ });
    });
  }

  it('requests the digest if there is one, else the tag', () => {
    assert.equal(manifestName(parseReference(`a:1@${digest}`)), digest);
    assert.equal(manifestName(parseReference('a:1')), '1');
  });

  it('survives a round trip through its full name', () => {
    const component = fc.stringMatching(/^[a-z0-9]{1,8}([._-][a-z0-9]{1,4})?$/);
    const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    const host = fc.constantFrom('docker.io', 'localhost:5000', 'ghcr.io', 'a-b.example:443', '[fe80::1]:80');
    const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/);
    fc.assert(
      fc.property(host, path, tag, (registry, repository, name) => {
        const reference = parseReference(`${registry}/${repository}:${name}`);
        assert.deepEqual(parseReference(formatReference(reference)), reference);
        assert.equal(reference.registry, registry);
      }),
    );
  });

  it('fails on any other text with its own error only', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseReference(text);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'invalid-reference');
        }
      }),
    );
  });
});
