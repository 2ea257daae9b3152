import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FormatError } from '../estargz/error.ts';
import { buildTree, file } from '../tree/testing/toc-json.ts';
import { crc32c } from './crc32c.ts';
import { encodeErofsImage } from './image.ts';

describe('EROFS image', { timeout: 120_000 }, () => {
  test('the checksum is CRC-32C', () => {
    // RFC 3720, B.4: the check value of nine digits, final inversion undone.
    assert.equal(crc32c(0xffffffff, Buffer.from('123456789')), ~0xe3069283 >>> 0);
  });

  test('an empty tree is a superblock and a root with two entries', () => {
    const image = Buffer.concat([...encodeErofsImage(buildTree([]).table)].map((piece) => Buffer.from(piece)));
    assert.equal(image.length, 8192);
    assert.equal(image.toString('hex', 1024, 1028), 'e2e1f5e0');
    assert.equal(image.readUInt16LE(1024 + 14), 1);
    // Extended, inline; directory 0755; 12 bytes a record and three of names; its own nid twice.
    assert.equal(image.toString('hex', 4096 + 32, 4112 + 32), '05000000ed4100001b00000000000000');
    assert.equal(
      image.toString('hex', 4160 + 32, 4187 + 32),
      '0100000000000000' + '18000200' + '0100000000000000' + '19000200' + '2e2e2e',
    );
  });

  test('repeated attributes are written once', () => {
    const xattrs = { 'security.capability': Buffer.alloc(1000, 7).toString('base64') };
    const { table } = buildTree(Array.from({ length: 200 }, (_, index) => file(`f${index}`, 0, 0, { xattrs })));
    const sizeBytes = [...encodeErofsImage(table)].reduce((sum, piece) => sum + piece.length, 0);
    assert.ok(sizeBytes < 40_000, `${sizeBytes} bytes`);
  });

  test('an attribute value of 64 KiB, one byte over the limit of EROFS, is refused, naming the file', () => {
    const { table } = buildTree([file('d/f', 0, 0, { xattrs: { 'user.x': Buffer.alloc(65_536).toString('base64') } })]);
    assert.throws(
      () => [...encodeErofsImage(table)],
      (error) => error instanceof FormatError && error.entry === 'd/f',
    );
  });
});
