import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeInvalEntry, encodeInvalInode, encodeResend } from './notification.ts';
import { encodeReplyHeader, errno, getUint64, setUint64 } from './wire.ts';

const viewOf = (bytes: Buffer) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

test('64-bit fields are exact past 4 GiB and carry times before 1970', () => {
  const bytes = Buffer.alloc(8);
  for (const [value, hex] of [
    [0, '0000000000000000'],
    [4294967295, 'ffffffff00000000'],
    [4294967296, '0000000001000000'],
    [Number.MAX_SAFE_INTEGER, 'ffffffffffff1f00'],
    [-1, 'ffffffffffffffff'],
    [-4294967297, 'fffffffffeffffff'],
  ] as const) {
    setUint64(viewOf(bytes), 0, value);
    assert.equal(bytes.toString('hex'), hex, String(value));
    if (value >= 0) assert.equal(getUint64(viewOf(bytes), 0), value);
  }
});

test('a reply header is length, minus the errno, and the unique of the request in two words', () => {
  const bytes = Buffer.alloc(16);
  assert.equal(encodeReplyHeader(viewOf(bytes), 16, errno.EIO, 0x11223344, 0x80000000), 16);
  assert.equal(bytes.toString('hex'), '10000000' + 'fbffffff' + '44332211' + '00000080');
});

test('notifications have unique 0 and their code in place of the error', () => {
  assert.equal(
    encodeInvalEntry(0, 1, '12').toString('hex'),
    '23000000' + '03000000' + '0000000000000000' + '0100000000000000' + '02000000' + '00000000' + '313200',
  );
  assert.equal(
    encodeInvalInode(3, 258).toString('hex'),
    '28000000' + '02000000' + '0000000000000000' + '0201000003000000' + '0000000000000000' + '0000000000000000',
  );
  assert.equal(encodeResend().toString('hex'), '10000000' + '07000000' + '0000000000000000');
});
