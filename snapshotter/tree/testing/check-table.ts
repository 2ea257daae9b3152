import assert from 'node:assert/strict';
import type { InodeTable } from '../inode-table.ts';
import { findPath, pathOf } from '../lookup.ts';

/** The invariants that the faces and the store rely on. */
export function checkTable(table: InodeTable, payloadEnd: number): void {
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
