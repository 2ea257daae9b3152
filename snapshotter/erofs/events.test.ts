import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AccessEvent, encodeResponse, readEvents } from './events.ts';

const event = Buffer.from(
  '30000000' +
    '03' +
    '00' +
    '1800' +
    '0000100000000000' +
    '0a000000' +
    'd2040000' + //
    '06' +
    '00' +
    '1800' +
    '00000000' +
    '0000020000000000' +
    '0080000000000000',
  'hex',
);

function collect(bytes: Buffer): AccessEvent[] {
  const events: AccessEvent[] = [];
  readEvents(bytes, bytes.length, (one) => events.push(one));
  return events;
}

test('a pre-access event gives its descriptor and the range', () => {
  assert.deepEqual(collect(event), [{ fd: 10, pid: 1234, offset: 0x20000, sizeBytes: 0x8000 }]);
});

test('several events in one read come in order', () => {
  const second = Buffer.from(event);
  second.writeInt32LE(11, 16);
  assert.deepEqual(
    collect(Buffer.concat([event, second])).map((one) => one.fd),
    [10, 11],
  );
});

test('an event without a range asks for the whole file', () => {
  const bare = Buffer.from(event.subarray(0, 24));
  bare.writeUInt32LE(24, 0);
  assert.deepEqual(collect(bare), [{ fd: 10, pid: 1234, offset: 0, sizeBytes: Number.MAX_SAFE_INTEGER }]);
});

test('an overflow record, which names no file, is skipped', () => {
  const overflow = Buffer.from(event);
  overflow.writeInt32LE(-1, 16);
  assert.deepEqual(collect(overflow), []);
});

test('an event that is cut short, runs past the buffer or has another version is refused', () => {
  assert.throws(() => collect(event.subarray(0, 20)), /cut short/);
  const long = Buffer.from(event);
  long.writeUInt32LE(49, 0);
  assert.throws(() => collect(long), /not understood/);
  const other = Buffer.from(event);
  other[4] = 4;
  assert.throws(() => collect(other), /not understood/);
});

test('a verdict allows, or denies with an errno', () => {
  assert.equal(encodeResponse(Buffer.alloc(8), 10).toString('hex'), '0a00000001000000');
  assert.equal(encodeResponse(Buffer.alloc(8), 10, 5).toString('hex'), '0a00000002000005');
});
