import assert from 'node:assert/strict';
import type { InodeTable } from '../inode-table.ts';
import { isDirectory } from '../lookup.ts';

const columns = [
  'mode',
  'uid',
  'gid',
  'rdev',
  'nlink',
  'mtimeNsec',
  'firstDirent',
  'direntLength',
  'firstChunk',
  'chunkLength',
  'firstXattr',
  'xattrLength',
  'targetLength',
  'sizeBytes',
  'mtimeSec',
  'dataOffset',
  'direntInode',
  'chunkDataOffset',
  'chunkSizeBytes',
  'chunkInode',
  'chunkMember',
  'chunkInnerOffset',
  'chunkHasDigest',
  'chunkDigest',
  'memberOffset',
  'memberEnd',
  'dataSizeBytes',
] as const;

/** The same files, in the same rows; where names lie in the pool, and which of a file's directories is noted, may differ. */
export function assertSameTable(actual: InodeTable, expected: InodeTable): void {
  for (const name of columns) assert.deepEqual(actual[name], expected[name], name);
  for (let inode = 1; inode <= expected.inodeCount; inode++)
    if (isDirectory(expected, inode)) assert.equal(actual.parent[inode], expected.parent[inode]);
  assert.deepEqual(textsOf(actual), textsOf(expected));
}

function textsOf(table: InodeTable): string[] {
  const texts: string[] = [];
  const add = (kind: string, offsets: Uint32Array, lengths: Uint32Array): void => {
    lengths.forEach((length, row) => {
      const text = Buffer.from(table.pool.slice(offsets[row], offsets[row]! + length)).toString('latin1');
      texts.push(`${kind} ${row} ${text}`);
    });
  };
  add('name', table.direntNameOffset, table.direntNameLength);
  add('target', table.targetOffset, table.targetLength);
  add('xattr', table.xattrNameOffset, table.xattrNameLength);
  add('value', table.xattrValueOffset, table.xattrValueLength);
  return texts;
}
