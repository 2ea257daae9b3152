import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sealJson, unsealJson } from './sealed-json.ts';

const limit = { timeout: 20_000 };

test('a sealed line gives back what was sealed, and no single changed byte goes unnoticed', limit, () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (value, at, flip) => {
        const line = Buffer.from(sealJson(value));
        assert.deepEqual(unsealJson(line.toString()), JSON.parse(JSON.stringify(value)));
        line[at % line.length]! ^= flip;
        assert.throws(() => unsealJson(line.toString('utf8')));
      },
    ),
  );
});

test('a line without a checksum is refused', limit, () => {
  for (const line of ['', '{}', '\t00000000', '{"a":1}\t', '{"a":1}\tzzzzzzzz']) assert.throws(() => unsealJson(line));
});
