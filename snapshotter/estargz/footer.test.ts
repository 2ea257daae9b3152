import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { FormatError } from './error.ts';
import { encodeFooter, FOOTER_MAX, parseFooter } from './footer.ts';

const estargz = Buffer.from(
  '1f8b08040000000000ff1a00534716003030303030303030303031323361626653544152475a010000ffff0000000000000000',
  'hex',
);
const stargz = Buffer.from(
  '1f8b08040000000000ff16003030303030303030303031323361626653544152475a010000ffff0000000000000000',
  'hex',
);
const tocOffset = 0x123abf;
const blobSize = 0x200000;

function isRefused(code: string): (error: unknown) => boolean {
  return (error) => error instanceof FormatError && error.code === code;
}

describe('footer', { timeout: 10_000 }, () => {
  test('parses and encodes an eStargz footer of 51 literal bytes', () => {
    assert.equal(estargz.length, 51);
    assert.deepEqual(parseFooter(estargz, blobSize), {
      kind: 'estargz',
      compression: 'gzip',
      payloadEnd: tocOffset,
      tocOffset,
      tocEnd: blobSize - 51,
    });
    assert.deepEqual(encodeFooter('estargz', tocOffset), estargz);
  });

  test('parses and encodes a CRFS footer of 47 literal bytes', () => {
    assert.equal(stargz.length, 47);
    assert.equal(parseFooter(stargz, blobSize)?.kind, 'stargz');
    assert.equal(parseFooter(stargz, blobSize)?.tocEnd, blobSize - 47);
    assert.deepEqual(encodeFooter('stargz', tocOffset), stargz);
  });

  test('gzip footers are empty gzip members', () => {
    for (const footer of [encodeFooter('estargz', 7), encodeFooter('stargz', 7), encodeFooter('external')]) {
      assert.equal(gunzipSync(footer).length, 0);
    }
  });

  test('an external footer is 46 bytes and has no TOC in the blob', () => {
    const footer = encodeFooter('external');
    assert.equal(footer.length, 46);
    const parsed = parseFooter(footer, 1000);
    assert.equal(parsed?.kind, 'external');
    assert.equal(parsed?.payloadEnd, 954);
    assert.equal(parsed?.tocOffset, parsed?.tocEnd);
  });

  test('a zstd:chunked footer has the offset and both sizes of the TOC', () => {
    const frame = encodeFooter('zstd-chunked', 5000, { compressedSizeBytes: 300, rawSizeBytes: 9000 });
    assert.equal(frame.length, 48);
    assert.equal(frame.toString('hex', 0, 8), '502a4d1828000000');
    assert.equal(frame.toString('latin1', 40), 'GnUlInUx');
    assert.deepEqual(parseFooter(frame, 6000), {
      kind: 'zstd-chunked',
      compression: 'zstd',
      payloadEnd: 4992,
      tocOffset: 5000,
      tocEnd: 5300,
      tocRawSizeBytes: 9000,
    });
  });

  test('the 64-byte zstd:chunked footer of containers/storage is parsed too', () => {
    const frame = Buffer.alloc(72);
    frame.write('502a4d1840000000', 'hex');
    [5000, 300, 9000, 1, 5400, 20, 40].forEach(
      (value, index) => void frame.writeBigUInt64LE(BigInt(value), 8 + 8 * index),
    );
    frame.write('GNUlInUx', 64, 'latin1');
    assert.equal(frame.length, FOOTER_MAX);
    const parsed = parseFooter(frame, 6000);
    assert.deepEqual([parsed?.tocOffset, parsed?.tocEnd], [5000, 5300]);
  });

  test('a footer is found at the end of a longer suffix', () => {
    assert.equal(parseFooter(Buffer.concat([Buffer.alloc(21, 0xff), estargz]), blobSize)?.kind, 'estargz');
  });

  test('other bytes, an empty blob and a truncated footer are not taken for a footer', () => {
    assert.equal(parseFooter(Buffer.alloc(72, 0x55), blobSize), undefined);
    assert.equal(parseFooter(Buffer.alloc(0), 0), undefined);
    assert.equal(parseFooter(estargz.subarray(10), blobSize), undefined);
  });

  test('a change to any byte of a footer is rejected or parsed as something else', () => {
    for (const good of [estargz, stargz, encodeFooter('external')]) {
      const original = parseFooter(good, blobSize);
      for (let at = 0; at < good.length; at++) {
        const damaged = Buffer.from(good);
        damaged[at]! ^= 0x80;
        let parsed: unknown;
        try {
          parsed = parseFooter(damaged, blobSize);
        } catch (error) {
          assert.ok(error instanceof FormatError);
          continue;
        }
        assert.notDeepEqual(parsed, original, `byte ${at}`);
      }
    }
  });

  test('a TOC outside the blob is rejected', () => {
    assert.throws(() => parseFooter(estargz, tocOffset), isRefused('footer'));
    assert.throws(() => parseFooter(encodeFooter('estargz', 949), 1000), isRefused('footer'));
    assert.equal(parseFooter(encodeFooter('estargz', 948), 1000)?.tocEnd, 949);
    const huge = Buffer.from(estargz);
    huge.write('ffffffffffffffff', 16, 'latin1');
    assert.throws(() => parseFooter(huge, blobSize), isRefused('footer'));
    const sizes = { compressedSizeBytes: 300, rawSizeBytes: 1 };
    assert.throws(() => parseFooter(encodeFooter('zstd-chunked', 5700, sizes), 6000), isRefused('footer'));
    assert.throws(() => parseFooter(encodeFooter('zstd-chunked', 4, sizes), 6000), isRefused('footer'));
  });

  test('an inflated TOC size beyond 2^53 - 1 is rejected', () => {
    const frame = encodeFooter('zstd-chunked', 5000, { compressedSizeBytes: 300, rawSizeBytes: 9000 });
    frame.writeBigUInt64LE(2n ** 53n, 8 + 16);
    assert.throws(() => parseFooter(frame, 6000), isRefused('footer'));
  });

  test('an unknown TOC type in a zstd:chunked footer is rejected', () => {
    const frame = encodeFooter('zstd-chunked', 5000, { compressedSizeBytes: 300, rawSizeBytes: 9000 });
    frame.writeBigUInt64LE(2n, 8 + 24);
    assert.throws(() => parseFooter(frame, 6000), isRefused('unsupported'));
  });
});
