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

test('a line with offset and size is a range of the file, one without means all of it', { timeout: 5_000 }, () => {
  const line = (path: string, rest: string): string => `{"layer":"${source[1]}","path":"${path}"${rest}}`;
  const lines = [line('a', ',"offset":4096,"size":10'), line('b', ''), line('a', ',"offset":0,"size":5')];
  const records = parseAccesses(`${lines.join('\n')}\n${line('b', ',"offset":0,"size":1')}\n`, 'f');
  const { layers, order } = assignAccesses(records, { source });
  const ranges = [
    { start: 4096, end: 4106 },
    { start: 0, end: 5 },
  ];
  assert.deepEqual(layers[1], { paths: ['a', 'b'], ranges: new Map([['a', ranges]]) });
  assert.deepEqual(
    order.map(({ layer, path, range }) => [layer, path, range?.start]),
    [
      [1, 'a', 4096],
      [1, 'b', undefined],
      [1, 'a', 0],
      [1, 'b', 0],
    ],
  );
});

test('a malformed line is reported with its file and line number', { timeout: 5_000 }, () => {
  const good = `{"layer":"${source[0]}","path":"a"}`;
  const badRanges = [
    '"offset":0',
    '"size":4',
    '"offset":-1,"size":4',
    '"offset":0,"size":0',
    '"offset":"0","size":4',
  ].map((range) => `{"layer":"${source[0]}","path":"a",${range}}`);
  for (const bad of [
    '{',
    'null',
    '[]',
    '{"layer":"sha256:12","path":"a"}',
    `{"layer":"${source[0]}","path":""}`,
    ...badRanges,
  ]) {
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
  const assignPaths = (...args: Parameters<typeof assignAccesses>) =>
    assignAccesses(...args).layers.map(({ paths }) => paths);
  assert.deepEqual(assignPaths(records, { source, recordedOn: converted }), expected);
  const originOf = (layer: string) => source[converted.indexOf(layer as Digest)];
  assert.deepEqual(assignPaths(records, { source, originOf }), expected);
  assert.deepEqual(assignPaths([{ layer: source[1]!, path: 'x' }], { source }), [[], ['x']]);
});

test('a record of another image is rejected, not ignored', { timeout: 5_000 }, () => {
  const records = [{ layer: digest('other'), path: 'a' }];
  assert.throws(() => assignAccesses(records, { source }), { code: 'unknown-layer', message: /--recorded-on/ });
  assert.throws(() => assignAccesses(records, { source, recordedOn: [digest('other')] }), {
    code: 'unknown-layer',
    message: /1 layers, the source has 2/,
  });
});
