import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { isPackedToc, packedTocMagic, unwrapPackedToc, wrapPackedToc } from './packed-toc.ts';

const limit = { timeout: 30_000 };
const sizes = [0, 1, 65_531 - 8, 65_531 - 7, 300_000];

function contentOf(sizeBytes: number): Buffer {
  return Buffer.concat([packedTocMagic, pseudoRandomBytes(sizeBytes, 1)]);
}

for (const compression of ['gzip', 'zstd'] as const) {
  test(`a section of any size in ${compression} is read back`, limit, () => {
    for (const sizeBytes of sizes) {
      const content = contentOf(sizeBytes);
      const section = wrapPackedToc(content, compression);
      assert.ok(isPackedToc(section, compression));
      assert.deepEqual(unwrapPackedToc(section, compression), content);
      const overhead = section.length - content.length;
      assert.ok(overhead <= 29 * Math.ceil(content.length / 65_531), `${overhead} bytes more`);
    }
  });

  test(`a damaged section in ${compression} is none`, limit, () => {
    const section = wrapPackedToc(contentOf(70_000), compression);
    for (const cut of [1, 7, 13, 20, 4500, 69_000])
      assert.equal(unwrapPackedToc(section.subarray(0, -cut), compression), undefined);
    for (const at of [0, 2, 4]) {
      const damaged = Buffer.from(section);
      damaged[at]! ^= 0xff;
      assert.equal(unwrapPackedToc(damaged, compression), undefined);
    }
    assert.equal(isPackedToc(section.subarray(1), compression), false);
    assert.equal(isPackedToc(Buffer.alloc(0), compression), false);
  });
}

test('decompressors skip a section', limit, () => {
  const text = Buffer.from('before and after\n'.repeat(1000));
  const [before, after] = [text.subarray(0, 5000), text.subarray(5000)];
  const between = (compress: (bytes: Buffer) => Buffer, section: Buffer): Buffer =>
    Buffer.concat([compress(before), section, compress(after)]);
  const gzip = between(gzipSync, wrapPackedToc(contentOf(200_000), 'gzip'));
  assert.deepEqual(gunzipSync(gzip), text);
  for (const command of ['gzip', 'pigz', 'bsdcat', 'python3']) {
    const arguments_ =
      command === 'python3'
        ? ['-c', 'import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))']
        : command === 'bsdcat'
          ? []
          : ['-dc'];
    if (isInstalled(command)) assert.deepEqual(execFileSync(command, arguments_, { input: gzip }), text, command);
    else assert.notEqual(command, 'gzip', 'gzip is part of every Debian');
  }
  const zstd = between(zstdCompressSync, wrapPackedToc(contentOf(200_000), 'zstd'));
  assert.deepEqual(execFileSync('zstd', ['-dcq'], { input: zstd }), text);
});

function isInstalled(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`]);
    return true;
  } catch {
    return false;
  }
}
