import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { fc, pseudoRandomBytes } from '../../testkit/random.ts';
import { pieces } from './testing/image.ts';
import { splitZstdFrames } from './zstd-frames.ts';

const checksum = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };

function skippable(payload: Buffer, nibble = 8): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a50 + nibble, 0);
  head.writeUInt32LE(payload.length, 4);
  return Buffer.concat([head, payload]);
}

async function split(stream: Buffer, pieceBytes: number): Promise<Buffer[]> {
  const out: Buffer[] = [];
  for await (const piece of splitZstdFrames(pieces(stream, pieceBytes))) out.push(piece);
  return out;
}

test('splits frames however the input is chunked, and drops skippable frames', { timeout: 30_000 }, async () => {
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.constant(Buffer.alloc(400_000, 'a')), // RLE blocks
    fc.constant(pseudoRandomBytes(200_000, 1)), // several raw blocks
  );
  const frame = fc.record({ content, sum: fc.boolean(), skip: fc.option(fc.uint8Array({ maxLength: 40 })) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(frame, { maxLength: 5 }),
      fc.integer({ min: 1, max: 70_000 }),
      async (frames, pieceBytes) => {
        const compressed = frames.map((one) => zstdCompressSync(one.content, one.sum ? checksum : {}));
        const stream = Buffer.concat(
          frames.flatMap((one, i) => [
            compressed[i]!,
            ...(one.skip === null ? [] : [skippable(Buffer.from(one.skip))]),
          ]),
        );
        if (stream.length / pieceBytes > 20_000) return;
        const out = await split(stream, pieceBytes);
        assert.deepEqual(Buffer.concat(out), Buffer.concat(compressed));
        // No piece spans two frames, so the pieces of each frame decompress on their own.
        let at = 0;
        for (const [i, whole] of compressed.entries()) {
          const group: Buffer[] = [];
          while (group.reduce((sum, piece) => sum + piece.length, 0) < whole.length) group.push(out[at++]!);
          assert.deepEqual(zstdDecompressSync(Buffer.concat(group)), Buffer.from(frames[i]!.content));
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('a truncated stream and bytes that are not a frame are rejected', { timeout: 10_000 }, async () => {
  const frame = zstdCompressSync(Buffer.from('some content'), checksum);
  for (const cut of [3, 7, frame.length - 1]) {
    await assert.rejects(split(frame.subarray(0, cut), 5), { code: 'malformed-layer' });
  }
  const garbage = Buffer.concat([frame, Buffer.from('garbage!')]);
  await assert.rejects(split(garbage, 1000), { code: 'malformed-layer' });
  await assert.rejects(split(Buffer.concat([frame, skippable(Buffer.alloc(9)).subarray(0, 12)]), 4), {
    code: 'malformed-layer',
  });
});
