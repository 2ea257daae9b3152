import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, test } from 'node:test';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { FormatError, type FormatErrorCode } from './error.ts';
import { inflateMember, isChunkIntact, MEMBER_SIZE_LIMIT_BYTES } from './member.ts';

const content = Buffer.concat([Buffer.from('payload '.repeat(3000)), pseudoRandomBytes(20_000, 1)]);
const tail = Buffer.alloc(1536, 'tar header of the next file');
const compressors = { gzip: gzipSync, zstd: zstdCompressSync } as const;
const kinds = ['gzip', 'zstd'] as const;

function isRefused(code: FormatErrorCode): (error: unknown) => boolean {
  return (error) => error instanceof FormatError && error.code === code;
}

describe('member', { timeout: 60_000 }, () => {
  for (const kind of kinds) {
    const member = Buffer.from(compressors[kind](Buffer.concat([content, tail])));

    test(`${kind}: returns the requested bytes without the tar headers after them`, () => {
      assert.deepEqual(inflateMember(member, kind, content.length), content);
    });

    test(`${kind}: the whole member can be requested, with or without checking its checksum`, () => {
      const all = Buffer.concat([content, tail]);
      for (const toEnd of [false, true]) {
        assert.deepEqual(inflateMember(member, kind, all.length, { toEnd }), all);
      }
    });

    test(`${kind}: a member of several concatenated streams is read to its end`, () => {
      const two = Buffer.concat([compressors[kind](content), compressors[kind](tail)]);
      const all = Buffer.concat([content, tail]);
      assert.deepEqual(inflateMember(two, kind, all.length), all);
    });

    test(`${kind}: a member with fewer bytes than the TOC promises is rejected`, () => {
      const tooMany = content.length + tail.length + 1;
      assert.throws(() => inflateMember(member, kind, tooMany), isRefused('member'));
    });

    test(`${kind}: a member truncated before the end of the requested bytes is rejected`, () => {
      for (const length of [0, 1, 9, 17, member.length >> 1]) {
        const cut = member.subarray(0, length);
        assert.throws(() => inflateMember(cut, kind, content.length), isRefused('member'));
      }
    });

    test(`${kind}: bytes that are not ${kind} are rejected, and the next member is inflated correctly`, () => {
      const noise = Buffer.alloc(500, 0xee);
      assert.throws(() => inflateMember(noise, kind, 100), isRefused('member'));
      assert.deepEqual(inflateMember(member, kind, content.length), content);
    });

    test(`${kind}: an empty chunk inflates to no bytes`, () => {
      assert.equal(inflateMember(member, kind, 0).length, 0);
    });

    test(`${kind}: a decompression bomb costs only the requested bytes`, () => {
      const bomb = Buffer.from(compressors[kind](Buffer.alloc(256 << 20)));
      const before = process.resourceUsage().maxRSS;
      assert.equal(inflateMember(bomb, kind, 1000, { toEnd: true }).length, 1000);
      const grownKib = process.resourceUsage().maxRSS - before;
      assert.ok(grownKib < 100 << 10, `resident memory grew by ${grownKib} KiB`);
    });
  }

  test('a wrong CRC is detected with toEnd, and only then', () => {
    const member = Buffer.from(gzipSync(Buffer.concat([content, tail])));
    member[member.length - 8]! ^= 1;
    assert.deepEqual(inflateMember(member, 'gzip', content.length), content);
    assert.throws(() => inflateMember(member, 'gzip', content.length, { toEnd: true }), isRefused('member'));
  });

  test('impossible sizes and sizes over the limit are rejected before allocation', () => {
    const member = gzipSync(content, { level: constants.Z_BEST_SPEED });
    for (const size of [MEMBER_SIZE_LIMIT_BYTES + 1, -1, Number.NaN, 1.5, Number.MAX_VALUE]) {
      assert.throws(() => inflateMember(member, 'gzip', size), isRefused('limit'));
    }
  });

  test('a zstd frame with a window of more than 32 MiB is rejected, one of 32 MiB is not', () => {
    const withWindow = (log: number): Buffer =>
      zstdCompressSync(Buffer.alloc(100 << 20, 'abc'), { params: { [constants.ZSTD_c_windowLog]: log } });
    assert.equal(inflateMember(withWindow(25), 'zstd', 1000).length, 1000);
    assert.throws(() => inflateMember(withWindow(26), 'zstd', 1000), isRefused('member'));
  });

  test('a damaged chunk does not match its digest', () => {
    const digest = hash('sha256', content, 'buffer');
    assert.equal(isChunkIntact(content, digest), true);
    const damaged = Buffer.from(content);
    damaged[100]! ^= 1;
    assert.equal(isChunkIntact(damaged, digest), false);
  });
});
