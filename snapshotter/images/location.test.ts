import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatLocation, parseLocation, parseTarget } from './location.ts';

test('the prefix of a name says where an image is', { timeout: 5_000 }, () => {
  const locations: [string, ReturnType<typeof parseLocation>][] = [
    ['docker-daemon:app:1', { kind: 'docker-daemon', image: 'app:1' }],
    ['oci:out', { kind: 'oci', directory: 'out' }],
    ['oci:/a/b:v1.2', { kind: 'oci', directory: '/a/b', tag: 'v1.2' }],
    ['docker-archive:x.tar', { kind: 'docker-archive', path: 'x.tar' }],
    ['docker-archive:x.tar:ghcr.io/a/b:1', { kind: 'docker-archive', path: 'x.tar', image: 'ghcr.io/a/b:1' }],
  ];
  for (const [text, location] of locations) {
    assert.deepEqual(parseLocation(text), location);
    assert.equal(formatLocation(location), text);
  }
  assert.equal(formatLocation(parseLocation('oci/app:1')), 'docker.io/oci/app:1');
  assert.equal(formatLocation(parseLocation('localhost:5000/app')), 'localhost:5000/app:latest');
});

test('a name that cannot be a source or a target is refused in one line', { timeout: 5_000 }, () => {
  const digest = `sha256:${'0'.repeat(64)}`;
  const cases: [string, RegExp][] = [
    ['docker-daemon:', /names no image/],
    ['oci:', /names no path/],
    ['oci:a:', /nothing after its last colon/],
    ['oci:a:b c', /"b c" is no tag/],
    ['docker-archive::x', /names no path/],
    [`app@${digest}`, /a target has a digest/],
    [`docker-daemon:app@${digest}`, /a target has a digest/],
    [`docker-archive:x.tar:A B`, /A B/],
  ];
  for (const [text, message] of cases) assert.throws(() => parseTarget(text), { message }, text);
});
