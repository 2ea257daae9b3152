import assert from 'node:assert/strict';
import { type FuzzTarget, refusing } from '../../testkit/fuzz-target.ts';
import { buildInodeTable } from './build.ts';
import type { InodeTable } from './inode-table.ts';
import { findPath, pathOf } from './lookup.ts';
import { chunk, dir, encodeToc, file } from './testing/toc-json.ts';

const payloadEnd = 100_000;

export const targets: readonly FuzzTarget[] = [
  {
    name: 'toc',
    seeds: [
      encodeToc([dir('a/'), file('a/b', 5, 10), { name: 'c', type: 'hardlink', linkName: 'a/b' }]),
      encodeToc([
        file('big', 100, 10, { chunkSize: 40 }),
        chunk('big', 50, 40, 60),
        { name: 'l', type: 'symlink', linkName: 'a' },
      ]),
      encodeToc([
        dir('d', {
          xattrs: { 'user.x': 'eA==', 'security.capability': 'AQAAAgAgAAA=' },
          uid: 7,
          modtime: '2024-01-02T03:04:05.5Z',
        }),
        { name: '.wh.gone', type: 'reg' },
        { name: 'd/.wh..wh..opq', type: 'reg' },
        { name: 'n', type: 'char', devMajor: 1, devMinor: 3 },
        { name: '.prefetch.landmark', type: 'reg', size: 1, offset: 90 },
      ]),
      encodeToc([file('a', 1, 5), dir('a'), file('a/b/c', 3, 20, { innerOffset: 4 }), { name: 'x', type: 'fifo' }]),
    ],
    dictionary: [
      '"name":"',
      '"type":"chunk"',
      '"type":"hardlink"',
      '"linkName":"',
      '"size":',
      '"offset":',
      '"innerOffset":',
      '"chunkOffset":',
      '"chunkSize":',
      '"chunkType":"zeros"',
      '"xattrs":{',
      '"mode":',
      '"modtime":"',
      '"digest":"sha256:',
      '../',
      '.wh.',
      '.wh..wh..opq',
      '\\u0000',
      '\\ud800',
      '{',
      '}',
      '[',
      ']',
      'null',
      '1e400',
      '-0',
    ],
    run(input) {
      const compression = input.length % 2 === 0 ? 'gzip' : 'zstd';
      refusing(['FormatError'], () => {
        const { table } = buildInodeTable(input, { payloadEnd, opaqueXattr: 'trusted', compression });
        checkTable(table);
      });
    },
  },
];

/** The invariants that the faces and the store rely on. */
function checkTable(table: InodeTable): void {
  let dataEnd = 0;
  for (let row = 0; row < table.chunkCount; row++) {
    assert.ok(table.chunkDataOffset[row]! >= dataEnd, 'chunks overlap');
    dataEnd = table.chunkDataOffset[row]! + table.chunkSizeBytes[row]!;
    assert.ok(table.chunkMember[row]! < table.memberCount, 'a chunk without a member');
  }
  assert.ok(dataEnd <= table.dataSizeBytes, 'a chunk beyond the data file');
  let memberEnd = 0;
  for (let row = 0; row < table.memberCount; row++) {
    assert.ok(
      table.memberOffset[row]! >= memberEnd && table.memberEnd[row]! > table.memberOffset[row]!,
      'members overlap',
    );
    memberEnd = table.memberEnd[row]!;
  }
  assert.ok(memberEnd <= payloadEnd, 'a member beyond the blob');
  for (let inode = 1; inode <= table.inodeCount; inode++) {
    assert.ok(table.parent[inode]! >= 1 && table.parent[inode]! <= table.inodeCount, 'an invalid parent');
    // A name that is not UTF-8 is kept as bytes; its path as text is only for display.
    const path = pathOf(table, inode);
    assert.ok(path.includes('\ufffd') || findPath(table, path) === inode, 'a path resolves to another inode');
  }
}
