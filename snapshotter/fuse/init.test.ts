import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerInit, encodeInitRequest, hasFlag, initFlag } from './init.ts';
import { replyHeaderBytes } from './wire.ts';

const viewOf = (bytes: Buffer) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** What Linux 6.18 sends: protocol 7.45, readahead 128 KiB, flags and flags2 (recorded from a mount). */
const linux618 = Buffer.from(
  '680000001a0000000200000000000000000000000000000000000000000000000000000000000000' +
    '070000002d00000000000200fbffff73fd050000' +
    '00000000000000000000000000000000000000000000000000000000000000000000000000000000' +
    '00000000',
  'hex',
);

test('an INIT of Linux 6.18 is answered with the flags that both sides support and 1 MiB reads', () => {
  const output = Buffer.alloc(256, 0xff);
  const answer = answerInit(viewOf(linux618), viewOf(output));
  assert.equal(answer?.sizeBytes, 80);
  const view = viewOf(output);
  assert.equal(view.getUint32(16, true), 7);
  assert.equal(view.getUint32(20, true), 42);
  assert.equal(view.getUint32(24, true), 1 << 20);
  const low = view.getUint32(28, true);
  const high = view.getUint32(48, true);
  // ASYNC_READ 0, EXPORT_SUPPORT 4, DO_READDIRPLUS 13, ASYNC_DIO 15, PARALLEL_DIROPS 18, POSIX_ACL 20, MAX_PAGES 22,
  // CACHE_SYMLINKS 23, EXPLICIT_INVAL_DATA 25, INIT_EXT 30; ALLOW_IDMAP 40 in flags2.
  assert.equal(low.toString(16), '42d4a011');
  assert.equal(high.toString(16), '100');
  assert.equal(view.getUint16(44, true), 256, 'max_pages');
  assert.equal(output.readUInt32LE(80), 0xffffffff, 'nothing is written past the 64 bytes of the body');
});

test('flags that only the kernel offers are remembered: NO_OPEN_SUPPORT, NO_OPENDIR_SUPPORT and HAS_RESEND', () => {
  const answer = answerInit(viewOf(linux618), viewOf(Buffer.alloc(256)));
  const flags = answer?.negotiated?.flags ?? 0;
  assert.ok(hasFlag(flags, initFlag.NO_OPEN_SUPPORT));
  assert.ok(hasFlag(flags, initFlag.NO_OPENDIR_SUPPORT));
  assert.ok(hasFlag(flags, initFlag.HAS_RESEND));
});

test('a flag that the kernel does not offer is not set in the reply, and without INIT_EXT flags2 is ignored', () => {
  const input = encodeInitRequest(7, 31, initFlag.ASYNC_READ + initFlag.ALLOW_IDMAP);
  const output = Buffer.alloc(256);
  const answer = answerInit(viewOf(input), viewOf(output));
  assert.deepEqual(answer?.negotiated, { minor: 31, flags: initFlag.ASYNC_READ });
  assert.equal(output.readUInt32LE(replyHeaderBytes + 12), initFlag.ASYNC_READ);
  assert.equal(output.readUInt16LE(replyHeaderBytes + 28), 0, 'no MAX_PAGES, no max_pages');
});

test('READDIRPLUS is requested for every listing, without READDIRPLUS_AUTO', () => {
  const input = encodeInitRequest(7, 42, initFlag.DO_READDIRPLUS + initFlag.READDIRPLUS_AUTO);
  const answer = answerInit(viewOf(input), viewOf(Buffer.alloc(256)));
  assert.equal(answer?.negotiated?.flags, initFlag.DO_READDIRPLUS);
});

test('a newer major version is answered with ours, and a protocol that is too old is refused', () => {
  const output = Buffer.alloc(256);
  assert.deepEqual(answerInit(viewOf(encodeInitRequest(8, 0, 0)), viewOf(output)), {
    sizeBytes: 80,
    negotiated: undefined,
  });
  assert.equal(output.readUInt32LE(16), 7);
  assert.equal(answerInit(viewOf(encodeInitRequest(7, 22, 0)), viewOf(output)), undefined);
  assert.equal(answerInit(viewOf(encodeInitRequest(6, 40, 0)), viewOf(output)), undefined);
});
