import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeHotRanges, maxListLength, parseHotRanges } from './hot-ranges.ts';

const limit = { timeout: 5_000 };
const tocDigest = `sha256:${'0123456789abcdef'.repeat(4)}`;
const layer = { tocDigest, payloadEnd: 100 * 512 + 1 };
const encoded = (bytes: readonly number[]): string => Buffer.from(bytes).toString('base64').replace(/=+$/, '');
const head = [1, 0x01, 0x23, 0x45, 0x67];

test('ranges in the order of use are encoded byte for byte, and parsed again', limit, () => {
  const ranges = [
    { start: 70, end: 72, rank: 0 },
    { start: 2, end: 5, rank: 300 },
    { start: 100, end: 101, rank: 300 },
  ];
  const text = encodeHotRanges(ranges, tocDigest);
  assert.equal(text, encoded([...head, 0x8c, 0x01, 2, 0, 0x8b, 0x01, 3, 0xac, 0x02, 0xbe, 0x01, 1, 0]));
  assert.deepEqual(parseHotRanges(text, layer), ranges);
  assert.deepEqual(parseHotRanges(encodeHotRanges([], tocDigest), layer), []);
});

test('a list that is malformed or of another layer is refused', limit, () => {
  const refuse = (text: string, message: RegExp): void =>
    assert.throws(() => parseHotRanges(text, layer), { name: 'FormatError', code: 'hot-ranges', message });
  refuse('', /not base64/);
  refuse('%%%%', /not base64/);
  refuse('A'.repeat(maxListLength + 1), /too long/);
  refuse(encoded([2, ...head.slice(1)]), /unknown version/);
  refuse(encoded([1, 1, 2, 3, 4]), /another layer/);
  refuse(encoded([...head, 0]), /cut short/);
  refuse(encoded([...head, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 1, 1]), /out of range/);
  refuse(encoded([...head, 1, 1, 0]), /outside the blob/);
  refuse(encoded([...head, 0, 0, 0]), /outside the blob/);
  refuse(encoded([...head, 0, 102, 0]), /outside the blob/);
  refuse(encoded([...head, 0, 2, 0, 1, 1, 0]), /overlap/);
});
