import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findPath } from './lookup.ts';
import { buildTree, dir, file, type JsonEntry } from './testing/toc-json.ts';

describe('extended attributes are those that unpacking sets', { timeout: 20_000 }, () => {
  const namesOf = (entries: JsonEntry[], path: string, opaqueXattr: 'trusted' | 'user' = 'trusted'): string[] => {
    const { table } = buildTree(entries, { opaqueXattr });
    const inode = findPath(table, path);
    return Array.from({ length: table.xattrLength[inode]! }, (_, index) => {
      const row = table.firstXattr[inode]! + index;
      const start = table.xattrNameOffset[row]!;
      return Buffer.from(table.pool.subarray(start, start + table.xattrNameLength[row]!)).toString();
    });
  };

  test('trusted.* is never taken from an archive', () => {
    const xattrs = {
      'trusted.overlay.opaque': 'eQ==',
      'trusted.overlay.redirect': 'L3g=',
      'trusted.overlay.metacopy': '',
      'trusted.overlay.whiteout': 'eQ==',
      'trusted.foo': 'eQ==',
      'user.overlay.opaque': 'eQ==',
    };
    const entries = [dir('d', { xattrs }), file('f', 0, 0, { xattrs })];
    for (const path of ['d', 'f']) {
      assert.deepEqual(namesOf(entries, path), ['user.overlay.opaque']);
      assert.deepEqual(namesOf(entries, path, 'user'), []);
    }
  });

  test('user.* is set on files and directories only, security.* on all types', () => {
    const xattrs = { 'user.a': 'eQ==', 'security.a': 'eQ==' };
    for (const type of ['symlink', 'fifo', 'char', 'block'])
      assert.deepEqual(namesOf([{ name: 'n', type, linkName: 'x', devMajor: 1, xattrs }], 'n'), ['security.a']);
    assert.deepEqual(namesOf([{ name: 'n', type: 'reg', xattrs }], 'n'), ['user.a', 'security.a']);
  });

  const entriesOf = (...entries: readonly (readonly [number, number, number])[]): Buffer => {
    const acl = Buffer.alloc(4 + 8 * entries.length);
    acl.writeUInt32LE(2);
    for (const [index, [tag, perm, id]] of entries.entries()) {
      acl.writeUInt16LE(tag, 4 + 8 * index);
      acl.writeUInt16LE(perm, 6 + 8 * index);
      acl.writeUInt32LE(id, 8 + 8 * index);
    }
    return acl;
  };
  const none = 0xffffffff;
  const extended = [
    [1, 7, none],
    [2, 6, 5],
    [4, 4, none],
    [16, 7, none],
    [32, 5, none],
  ] as const;

  test('an ACL is as chmod leaves it, and absent if it is equivalent to the mode', () => {
    const withAcl = (acl: Buffer): JsonEntry[] => [
      file('f', 0, 0, { mode: 0o640, xattrs: { 'system.posix_acl_access': acl.toString('base64') } }),
    ];
    const { table } = buildTree(withAcl(entriesOf(...extended)));
    const row = table.firstXattr[findPath(table, 'f')]!;
    const start = table.xattrValueOffset[row]!;
    assert.deepEqual(
      Buffer.from(table.pool.subarray(start, start + table.xattrValueLength[row]!)),
      entriesOf([1, 6, none], [2, 6, 5], [4, 4, none], [16, 4, none], [32, 0, none]),
    );
    assert.deepEqual(namesOf(withAcl(entriesOf([1, 7, none], [4, 4, none], [32, 5, none])), 'f'), []);
    for (const bad of [
      Buffer.from('x'),
      entriesOf([1, 7, none]),
      entriesOf(...extended.toReversed()),
      entriesOf([1, 9, none]),
    ])
      assert.throws(() => buildTree(withAcl(bad)), /impossible system.posix_acl_access/);
  });

  test('a layer with a default ACL is refused as unsupported', () => {
    const xattrs = { 'system.posix_acl_default': entriesOf(...extended).toString('base64') };
    assert.throws(() => buildTree([dir('d', { xattrs })]), { code: 'unsupported' });
    assert.deepEqual(namesOf([file('f', 0, 0, { xattrs })], 'f'), []);
  });
});
