import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { buildInodeTable } from './build.ts';
import { findChild, findDirent, findPath, findXattr, pathOf, writeDirentName } from './lookup.ts';
import { buildTree, file } from './testing/toc-json.ts';

describe('look-up', { timeout: 10_000 }, () => {
  test('a name is found within a request buffer; prefixes and neighbours are not', () => {
    const { table } = buildTree([file('usr', 0, 0), file('usr2', 0, 0), file('us', 0, 0), file('z', 0, 0)]);
    const request = Buffer.from('xxusr2yy');
    assert.equal(findChild(table, 1, request, 2, 6), findPath(table, 'usr2'));
    assert.equal(findChild(table, 1, request, 2, 5), findPath(table, 'usr'));
    assert.equal(findChild(table, 1, request, 2, 4), findPath(table, 'us'));
    assert.equal(findChild(table, 1, request, 2, 7), 0);
    assert.equal(findChild(table, 1, request, 2, 2), 0);
    assert.equal(findDirent(table, 1, Buffer.from('nothing')), -1);
  });

  test('files and empty directories have no children', () => {
    const { table } = buildTree([file('a', 0, 0), { name: 'd', type: 'dir' }]);
    assert.equal(findChild(table, findPath(table, 'a'), Buffer.from('a')), 0);
    assert.equal(findChild(table, findPath(table, 'd'), Buffer.from('a')), 0);
    assert.equal(findPath(table, 'a/b'), 0);
  });

  test('names that are not UTF-8 are found by bytes', () => {
    const name = Buffer.from([0x66, 0xff, 0x80]);
    const json = Buffer.concat([Buffer.from('{"name":"'), name, Buffer.from('","type":"fifo"}')]);
    const whole = Buffer.concat([Buffer.from('{"entries":['), json, Buffer.from(']}')]);
    const other = buildInodeTable(whole, { payloadEnd: 10, opaqueXattr: 'trusted' }).table;
    const inode = findChild(other, 1, name);
    assert.equal(inode, 2);
    const out = Buffer.alloc(10);
    assert.equal(writeDirentName(other, findDirent(other, 1, name), out, 3), 6);
    assert.deepEqual(out.subarray(3, 6), name);
  });

  test('an attribute of another inode or with a longer name is not found', () => {
    const { table } = buildTree([
      file('a', 0, 0, { xattrs: { 'user.ab': 'eA==' } }),
      file('b', 0, 0, { xattrs: { 'user.b': 'eA==' } }),
    ]);
    assert.equal(findXattr(table, findPath(table, 'a'), Buffer.from('user.b')), -1);
    assert.equal(findXattr(table, findPath(table, 'a'), Buffer.from('user.a')), -1);
    assert.equal(findXattr(table, findPath(table, 'b'), Buffer.from('user.b')), 1);
  });

  test('paths are found from inodes and inodes from paths', () => {
    const { table } = buildTree([file('a/b/c', 0, 0)]);
    const inode = findPath(table, '/a/./b//c');
    assert.equal(pathOf(table, inode), 'a/b/c');
    assert.equal(pathOf(table, 1), '');
    assert.equal(findPath(table, ''), 1);
    assert.equal(findPath(table, 'a/x'), 0);
  });
});
