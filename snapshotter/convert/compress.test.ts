import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { boundOf, type MemberCodec, MemberCompressor } from './compress.ts';

const inputs = [
  Buffer.of(0x0f),
  Buffer.alloc(0),
  Buffer.from('text '.repeat(1000)),
  pseudoRandomBytes(70_000, 1),
  Buffer.alloc(4 << 20, 'ab'),
  pseudoRandomBytes(4 << 20, 2),
];
const inflate = { gzip: gunzipSync, zstd: zstdDecompressSync };

for (const codec of ['gzip', 'zstd'] satisfies MemberCodec[]) {
  test(`a reused ${codec} compressor writes the same bytes as a new one`, { timeout: 20_000 }, () => {
    const kept = new MemberCompressor(codec, 6);
    const output = Buffer.alloc(boundOf(4 << 20));
    for (const input of [...inputs, ...inputs.toReversed()]) {
      const member = Buffer.from(output.subarray(0, kept.compress(input, output)));
      assert.ok(member.length <= boundOf(input.length));
      assert.deepEqual(inflate[codec](member), input);
      const fresh = Buffer.alloc(boundOf(input.length));
      assert.deepEqual(fresh.subarray(0, new MemberCompressor(codec, 6).compress(input, fresh)), member);
    }
  });
}

test('a reused compressor keeps its level', { timeout: 20_000 }, () => {
  const input = readFileSync(process.execPath).subarray(0, 1 << 20);
  const output = Buffer.alloc(boundOf(input.length));
  for (const codec of ['gzip', 'zstd'] satisfies MemberCodec[]) {
    const sizes = [1, 9].map((level) => {
      const kept = new MemberCompressor(codec, level);
      const [first, second] = [kept.compress(input, output), kept.compress(input, output)];
      assert.equal(first, second);
      return first;
    });
    assert.ok(sizes[1]! < 0.98 * sizes[0]!, `${codec}: ${sizes}`);
  }
});

for (const codec of ['gzip', 'zstd'] satisfies MemberCodec[])
  test(`an output buffer that is too small for ${codec} is an error, and the next member is intact`, {
    timeout: 10_000,
  }, () => {
    const compressor = new MemberCompressor(codec, 6);
    assert.throws(() => compressor.compress(pseudoRandomBytes(1000, 3), Buffer.alloc(100)), /the output is full/);
    const output = Buffer.alloc(boundOf(3));
    assert.equal(inflate[codec](output.subarray(0, compressor.compress(Buffer.from('abc'), output))).toString(), 'abc');
  });
