import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { Compression } from '../estargz/inflater.ts';
import { StoreError } from './error.ts';
import { indexMembers } from './member-index.ts';
import type { ChunkTarget } from './member-reader.ts';
import { MemberStream } from './member-stream.ts';
import { allocatePresence, isPresent, markPresent } from './presence.ts';
import { pseudoRandomBytes } from './testing/blob.ts';
import { buildTestTable } from './testing/table.ts';

const limit = { timeout: 20_000 };
const content = pseudoRandomBytes(1_500_000, 1);

/** A layer of one chunk, whose data goes to a file without a name. */
function openTarget(t: TestContext, compression: Compression, compressed: Buffer, hasDigest = true) {
  const path = join(tmpdir(), `member-stream-${process.pid}-${performance.now()}`);
  const dataFd = openSync(path, 'wx+');
  unlinkSync(path);
  t.after(() => closeSync(dataFd));
  const member = { offset: 0, end: compressed.length, sizeBytes: content.length, chunk: content };
  const table = buildTestTable([{ members: [member] }], hasDigest);
  const bits = new Int32Array(allocatePresence(1));
  const target: ChunkTarget = {
    subject: 'layer',
    table,
    index: indexMembers(table, 'layer'),
    bits,
    dataFd,
    reserve: { use: () => {} },
    compression,
    chunkOverwritten: () => {},
    chunkStored: (chunk) => markPresent(bits, chunk),
  };
  return { target, isStored: () => isPresent(bits, 0), read: () => readFileSync(`/proc/self/fd/${dataFd}`) };
}

function stream(target: ChunkTarget, compressed: Buffer): void {
  const member = new MemberStream(target, 0);
  for (let at = 0; at < compressed.length; at += 65_536)
    for (let isMore = member.write(compressed.subarray(at, at + 65_536)); isMore; isMore = member.more());
  member.finish();
}

const isCorrupt = (error: unknown): boolean => error instanceof StoreError && error.code === 'corrupt';

for (const compression of ['gzip', 'zstd'] as const) {
  const compress = compression === 'gzip' ? gzipSync : zstdCompressSync;

  test(`a damaged ${compression} member does not spoil those that come after it`, limit, (t) => {
    const good = compress(content);
    for (const damagedAt of [0, 20, good.length >> 1]) {
      const damaged = Buffer.from(good);
      damaged[damagedAt]! ^= 0xff;
      const { target, isStored, read } = openTarget(t, compression, good);
      assert.throws(() => stream(target, damaged), isCorrupt);
      assert.equal(isStored(), false);
      stream(target, good);
      assert.equal(isStored(), true);
      assert.ok(read().equals(content));
    }
  });

  test(
    `a ${compression} member that ends early, or goes on for long, is inflated no further than it must be`,
    limit,
    (t) => {
      const short = compress(content.subarray(1));
      assert.throws(() => stream(openTarget(t, compression, short).target, short), isCorrupt);
      // Noise at its end: the inflater would trip over it if it got there.
      const bomb = compress(Buffer.concat([content, Buffer.alloc(64 << 20)]));
      bomb.fill(0x55, bomb.length - 8);
      for (const hasDigest of [true, false]) {
        const { target, isStored } = openTarget(t, compression, bomb, hasDigest);
        stream(target, bomb);
        assert.equal(isStored(), true);
      }
    },
  );
}
