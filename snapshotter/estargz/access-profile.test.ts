import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../registry/digest.ts';
import { encodeAccessProfile, maxProfileBytes, parseAccessProfile } from './access-profile.ts';
import { maxListLength } from './hot-ranges.ts';

const limit = { timeout: 5_000 };
const digest = digestOf('a layer');

test('a profile is encoded as documented, and parsed again', limit, () => {
  const profile = new Map([
    [digest, 'AQEjRWc'],
    [digestOf('another'), ''],
  ]);
  const bytes = encodeAccessProfile(profile);
  assert.equal(
    bytes.toString(),
    `{"version":1,"layers":[{"digest":"${digest}","hotRanges":"AQEjRWc"},{"digest":"${digestOf('another')}","hotRanges":""}]}`,
  );
  assert.deepEqual(parseAccessProfile(bytes), profile);
  assert.equal(parseAccessProfile(Buffer.from('{"version":1,"layers":[],"later":true}')).size, 0);
});

test('a profile that is malformed or over a limit is refused', limit, () => {
  const refuse = (value: unknown, message: RegExp): void => {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : Buffer.from(JSON.stringify(value));
    assert.throws(() => parseAccessProfile(bytes), { name: 'FormatError', code: 'access-profile', message });
  };
  refuse('', /not JSON/);
  refuse('{"version":1,"layers":["\xff"]}', /not JSON/);
  refuse(' '.repeat(maxProfileBytes + 1), /larger than/);
  for (const value of [null, 1, [], { version: 2, layers: [] }]) refuse(value, /unknown version/);
  for (const layers of [undefined, {}, Array.from({ length: 1025 }, () => 1)])
    refuse({ version: 1, layers }, /not a list of at most/);
  for (const layer of [null, 1, {}, { digest: 'sha256:0', hotRanges: '' }])
    refuse({ version: 1, layers: [layer] }, /without the digest/);
  for (const hotRanges of [undefined, 1, 'A'.repeat(maxListLength + 1)])
    refuse({ version: 1, layers: [{ digest, hotRanges }] }, /no text/);
  const layer = { digest, hotRanges: 'A' };
  refuse({ version: 1, layers: [layer, layer] }, /two entries/);
});
