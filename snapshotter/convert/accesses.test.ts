import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Digest, digestOf } from '../registry/digest.ts';
import { assignAccesses, parseAccesses } from './accesses.ts';

const digest = digestOf;
const source = [digest('s0'), digest('s1')];

test('parses one record per line and ignores empty lines', { timeout: 5_000 }, () => {
  const text = `{"layer":"${source[0]}","path":"usr/bin/ü"}\n\n{"layer":"${source[1]}","path":"etc/x","more":1}\n`;
  assert.deepEqual(parseAccesses(text, 'f'), [
    { layer: source[0], path: 'usr/bin/ü' },
    { layer: source[1], path: 'etc/x' },
  ]);
});

test('a malformed line is reported with its file and line number', { timeout: 5_000 }, () => {
  const good = `{"layer":"${source[0]}","path":"a"}`;
  for (const bad of ['{', 'null', '[]', '{"layer":"sha256:12","path":"a"}', `{"layer":"${source[0]}","path":""}`]) {
    assert.throws(() => parseAccesses(`${good}\n${bad}\n`, 'rec.jsonl'), {
      code: 'malformed-accesses',
      message: /rec\.jsonl: line 2 .*record it again/,
    });
  }
});

test('layers are matched by digest, by position in the recorded image, or by their origin', {
  timeout: 5_000,
}, () => {
  const converted = [digest('c0'), digest('c1')];
  const records = [
    { layer: converted[1]!, path: 'b' },
    { layer: converted[0]!, path: 'a' },
    { layer: converted[1]!, path: 'c' },
    { layer: converted[1]!, path: 'b' },
  ];
  const expected = [['a'], ['b', 'c']];
  assert.deepEqual(assignAccesses(records, { source, recordedOn: converted }), expected);
  const originOf = (layer: string) => source[converted.indexOf(layer as Digest)];
  assert.deepEqual(assignAccesses(records, { source, originOf }), expected);
  assert.deepEqual(assignAccesses([{ layer: source[1]!, path: 'x' }], { source }), [[], ['x']]);
});

test('a record of another image is rejected, not ignored', { timeout: 5_000 }, () => {
  const records = [{ layer: digest('other'), path: 'a' }];
  assert.throws(() => assignAccesses(records, { source }), { code: 'unknown-layer', message: /--recorded-on/ });
  assert.throws(() => assignAccesses(records, { source, recordedOn: [digest('other')] }), {
    code: 'unknown-layer',
    message: /1 layers, the source has 2/,
  });
});
