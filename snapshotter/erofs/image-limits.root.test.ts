import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildTree, dir, file, type JsonEntry } from '../tree/testing/toc-json.ts';
import { type ImageFiles, runFsck, withMountedImage } from './testing/mounted-image.ts';
import { readXattrs } from '../../harness/host/xattr.ts';

/** Limits of fields and blocks, as the kernel and fsck.erofs see them. */

const limit = { timeout: 60_000 };

async function show(entries: readonly JsonEntry[], check: (root: string, files: ImageFiles) => void): Promise<void> {
  const { table } = buildTree(entries);
  await withMountedImage(table, new Map(), (root, files) => {
    runFsck(table, files);
    check(root, files);
  });
}

test('every directory lists . and .., the root included', limit, async () => {
  await show([dir('a'), file('b', 0, 0)], (root) => {
    const list = (path: string) => execFileSync('ls', ['-a', path], { encoding: 'utf8' }).trimEnd().split('\n');
    assert.deepEqual(list(root), ['.', '..', 'a', 'b']);
    assert.deepEqual(list(join(root, 'a')), ['.', '..']);
  });
});

test('directories with names of the maximum length are read back, from one block to many', limit, async () => {
  const longName = (index: number) => `${String(index).padStart(4, '0')}${'n'.repeat(251)}`;
  const counts = [1, 14, 15, 16, 30, 31, 500];
  const entries = counts.flatMap((count) =>
    Array.from({ length: count }, (_, index) => file(`d${count}/${longName(index)}`, 0, 0)),
  );
  await show(entries, (root) => {
    for (const count of counts) {
      const names = Array.from({ length: count }, (_, index) => longName(index));
      assert.deepEqual(readdirSync(join(root, `d${count}`)).sort(), names);
      for (const name of names) assert.ok(lstatSync(join(root, `d${count}`, name)).isFile());
    }
  });
});

test('a directory is read back however full its last block is', limit, async () => {
  // 15 names of 251 bytes, with . and .. and the records: 3,972 bytes; the last name fills the block at 112.
  const name = (index: number, length: number) => String.fromCharCode(97 + index).padEnd(length, 'y');
  const lengths = Array.from({ length: 255 }, (_, index) => index + 1);
  const entries = lengths.flatMap((last) => [
    ...Array.from({ length: 15 }, (_, index) => file(`d${last}/${name(index, 251)}`, 0, 0)),
    file(`d${last}/${name(15, last)}`, 0, 0),
  ]);
  await show(entries, (root) => {
    for (const last of lengths) {
      assert.equal(readdirSync(join(root, `d${last}`)).length, 16);
      assert.ok(lstatSync(join(root, `d${last}`, name(15, last))).isFile());
    }
  });
});

test('times far in the past and future keep their nanoseconds', limit, async () => {
  const times: readonly [text: string, nanoseconds: bigint][] = [
    ['1970-01-01T00:00:00.000000001Z', 1n],
    ['2024-01-01T00:00:00.000000001Z', 1_704_067_200_000_000_001n],
    ['2262-04-11T23:47:15.999999999Z', 9_223_372_035_999_999_999n],
    // What unpacking makes of times that it does not set.
    ['1969-12-31T23:59:59.123456789Z', 0n],
    ['2500-06-01T00:00:00.999999999Z', 0n],
  ];
  const entries = times.flatMap(([modtime], index) => [
    file(`f${index}`, 0, 0, { modtime }),
    dir(`d${index}`, { modtime }),
  ]);
  await show(entries, (root) => {
    for (const [index, [text, nanoseconds]] of times.entries())
      for (const name of [`f${index}`, `d${index}`])
        assert.equal(lstatSync(join(root, name), { bigint: true }).mtimeNs, nanoseconds, `${name} ${text}`);
  });
});

test('owners and device numbers use all their bits, and link counts exceed 16 bits', limit, async () => {
  const linkCount = 70_000;
  const entries = [
    file('owned', 0, 0, { uid: 0xfffffffe, gid: 3_000_000_000 }),
    { name: 'char', type: 'char', devMajor: 4095, devMinor: 0xfffff },
    { name: 'block', type: 'block', devMajor: 0, devMinor: 256 },
    file('linked', 0, 0),
    ...Array.from({ length: linkCount }, (_, index) => ({ name: `l/${index}`, type: 'hardlink', linkName: 'linked' })),
    ...Array.from({ length: linkCount }, (_, index) => dir(`d/${index}`)),
  ];
  await show(entries, (root) => {
    const owned = lstatSync(join(root, 'owned'));
    assert.deepEqual([owned.uid, owned.gid], [0xfffffffe, 3_000_000_000]);
    const devices = execFileSync('stat', ['-c', '%t:%T', join(root, 'char'), join(root, 'block')], {
      encoding: 'utf8',
    });
    assert.equal(devices, 'fff:fffff\n0:100\n');
    assert.equal(lstatSync(join(root, 'linked')).nlink, linkCount + 1);
    assert.equal(lstatSync(join(root, 'd')).nlink, linkCount + 2);
  });
});

test('extended attributes of the maximum size are read back, and more than fit behind an inode', limit, async () => {
  const value = (index: number) => Buffer.alloc(65_535, index + 1);
  const xattrs = Object.fromEntries(
    Array.from({ length: 20 }, (_, index) => [`user.x${index}`, value(index).toString('base64')]),
  );
  const longest = { [`user.${'n'.repeat(250)}`]: '', [`security.${'n'.repeat(246)}`]: 'AAAA' };
  await show([file('many', 5, 100, { xattrs }), dir('long', { xattrs: longest })], (root) => {
    const many = readXattrs(join(root, 'many'));
    assert.equal(Object.keys(many).length, 20);
    for (let index = 0; index < 20; index++) assert.deepEqual(many[`user.x${index}`], value(index));
    const long = readXattrs(join(root, 'long'));
    assert.equal(long[`user.${'n'.repeat(250)}`]!.length, 0);
    assert.equal(long[`security.${'n'.repeat(246)}`]!.length, 3);
  });
});

test('the kernel refuses an image whose superblock was changed', limit, async () => {
  const { table } = buildTree([file('f', 0, 0)]);
  const flipOneBit = (image: Buffer) => {
    image[1024 + 50]! ^= 1;
  };
  // EBADMSG: the checksum.
  await assert.rejects(
    withMountedImage(table, new Map(), () => {}, flipOneBit),
    { syscall: 'mount', errno: 74 },
  );
});
