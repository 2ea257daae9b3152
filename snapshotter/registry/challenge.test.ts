import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../../testkit/random.ts';
import { parseChallenges } from './challenge.ts';

function read(header: string | string[]): [string, Record<string, string>][] {
  return parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
}

describe('a WWW-Authenticate header', () => {
  it('holds a Bearer challenge with commas inside quotes', () => {
    const header = 'Bearer realm="https://auth.test/token",service="registry.test",scope="repository:a/b:pull,push"';
    assert.deepEqual(read(header), [
      ['bearer', { realm: 'https://auth.test/token', service: 'registry.test', scope: 'repository:a/b:pull,push' }],
    ]);
  });

  it('holds several challenges, in one header or in several', () => {
    const expected = [
      ['negotiate', {}],
      ['basic', { realm: 'x, y' }],
      ['bearer', { realm: 'https://a', error: 'invalid_token' }],
    ];
    assert.deepEqual(read('Negotiate, Basic realm="x, y", Bearer realm="https://a", error=invalid_token'), expected);
    assert.deepEqual(
      read(['Negotiate', 'Basic realm="x, y"', 'Bearer realm="https://a",error=invalid_token']),
      expected,
    );
  });

  it('may carry a token68 instead of parameters', () => {
    assert.deepEqual(read('Negotiate YWJjZA==, Basic realm=x'), [
      ['negotiate', {}],
      ['basic', { realm: 'x' }],
    ]);
  });

  it('is parsed leniently: case, spaces, empty elements, escapes, repeated parameters', () => {
    assert.deepEqual(read(' , BEARER Realm = "a\\"b" ,, Scope=c, scope=d'), [['bearer', { realm: 'a"b', scope: 'c' }]]);
    assert.deepEqual(parseChallenges(undefined), []);
    assert.deepEqual(read('Bearer realm="never closed'), [['bearer', {}]]);
  });

  it('never hangs the parser', () => {
    fc.assert(fc.property(fc.string(), (text) => parseChallenges(`Bearer ${text}`).length >= 1));
    fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseChallenges(text))));
  });
});
