import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fc } from '../../testkit/random.ts';
import { buildInodeTable } from '../tree/build.ts';
import { encodeTree, treeArbitrary } from '../tree/testing/random-tree.ts';
import { buildTree, dir, encodeToc, file } from '../tree/testing/toc-json.ts';
import { dumpSuperblock, type ImageFiles, makeImage, removeImage, runFsck } from './testing/mounted-image.ts';

function withImage(table: Parameters<typeof makeImage>[0], use: (files: ImageFiles) => void, uuid?: Uint8Array): void {
  const files = makeImage(table, uuid);
  try {
    use(files);
  } finally {
    removeImage(files);
  }
}

describe('EROFS image, to erofs-utils', { timeout: 120_000 }, () => {
  test('dump.erofs reads back what the superblock says', () => {
    const { table } = buildTree([dir('a'), file('a/f', 10, 100), file('g', 0, 0)]);
    withImage(
      table,
      (files) => {
        const dump = dumpSuperblock(table, files);
        assert.equal(dump.get('Filesystem magic number'), '0xE0F5E1E2');
        assert.equal(dump.get('Filesystem inode count'), '4');
        // The block of the extra device is included.
        assert.equal(dump.get('Filesystem blocks'), String(files.sizeBytes / 4096 + 1));
        assert.equal(dump.get('Filesystem features'), 'sb_csum mtime chunked_file device_table');
        assert.equal(dump.get('Filesystem UUID'), '00010203-0405-0607-0809-0a0b0c0d0e0f');
      },
      Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'),
    );
  });

  test('fsck.erofs and dump.erofs accept the image of any tree', () => {
    fc.assert(
      fc.property(
        treeArbitrary(fc.constantFrom(0, 1, 4096, 4097, 100_000)),
        fc.array(fc.nat(1000), { maxLength: 4 }),
        fc.infiniteStream(fc.nat()),
        (tree, links, stream) => {
          const { entries, payloadEnd } = encodeTree(tree, links, (count) => stream.next().value! % count);
          const { table } = buildInodeTable(encodeToc(entries), { payloadEnd, opaqueXattr: 'trusted' });
          withImage(table, (files) => {
            runFsck(table, files);
            const dump = dumpSuperblock(table, files);
            assert.equal(dump.get('Filesystem inode count'), String(table.inodeCount));
            assert.equal(dump.get('Filesystem blocks'), String((files.sizeBytes + table.dataSizeBytes) / 4096));
          });
        },
      ),
      { numRuns: 30 },
    );
  });

  test('fsck.erofs refuses an image with one byte of its superblock changed', () => {
    const { table } = buildTree([file('a/f', 10, 100)]);
    withImage(table, (files) => {
      runFsck(table, files);
      const image = readFileSync(files.imagePath);
      image[1024 + 50]! ^= 1;
      writeFileSync(files.imagePath, image);
      assert.throws(() => runFsck(table, files), /chksum/);
    });
  });
});
