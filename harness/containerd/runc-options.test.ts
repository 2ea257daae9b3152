import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeRuncOptions } from './runc-options.ts';

test("runc's root and binary are encoded as fields 7 and 6", () => {
  const { type_url, value } = encodeRuncOptions({ root: '/r', binaryName: 'x' });
  assert.equal(type_url, 'containerd.runc.v1.Options');
  assert.equal(value.toString('hex'), '320178' + '3a022f72');
});

test('a path longer than 127 bytes has a length of two bytes', () => {
  const { value } = encodeRuncOptions({ root: 'a'.repeat(300) });
  assert.equal(value.subarray(0, 3).toString('hex'), '3aac02');
  assert.equal(value.length, 303);
});
