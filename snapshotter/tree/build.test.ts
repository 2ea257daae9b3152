import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { FOOTER_MAX, parseFooter } from '../estargz/footer.ts';
import { TocReader } from '../estargz/toc.ts';
import { buildInodeTable } from './build.ts';
import { type InodeTable, viewInodeTable } from './inode-table.ts';
import { direntName, findPath, findXattr, pathOf, writeXattrList, xattrListSizeBytes } from './lookup.ts';
import { buildTree, chunk, contentDigest, dir, encodeToc, file, type JsonEntry } from './testing/toc-json.ts';

function names(table: InodeTable, path: string): string[] {
  const inode = findPath(table, path);
  const first = table.firstDirent[inode]!;
  return Array.from({ length: table.direntLength[inode]! }, (_, index) => direntName(table, first + index).toString());
}

function modeOf(table: InodeTable, path: string): string {
  const inode = findPath(table, path);
  return inode === 0 ? 'absent' : table.mode[inode]!.toString(8);
}

function xattrOf(table: InodeTable, path: string, name: string): string | undefined {
  const row = findXattr(table, findPath(table, path), Buffer.from(name));
  if (row < 0) return undefined;
  const start = table.xattrValueOffset[row]!;
  return Buffer.from(table.pool.subarray(start, start + table.xattrValueLength[row]!)).toString();
}

describe('building a tree', { timeout: 20_000 }, () => {
  test('an empty TOC is an empty root', () => {
    const { table, landmark } = buildTree([]);
    assert.equal(table.inodeCount, 1);
    assert.equal(modeOf(table, ''), '40755');
    assert.deepEqual([table.nlink[1], table.sizeBytes[1], table.parent[1], table.dataSizeBytes], [2, 4096, 1, 0]);
    assert.equal(landmark, undefined);
  });

  test('names are normalised and cannot leave the layer', () => {
    const { table } = buildTree([
      dir('./'),
      dir('./a/'),
      file('/a//b/./c', 0, 0),
      file('../../x', 0, 0),
      file('a/../y', 0, 0),
      file('q/../../z', 0, 0),
    ]);
    assert.deepEqual(names(table, ''), ['a', 'x', 'y', 'z']);
    assert.deepEqual(names(table, 'a/b'), ['c']);
  });

  test('missing parents are directories of mode 0755 owned by root, until their own entry comes', () => {
    const { table } = buildTree([file('a/b/c', 0, 0), dir('a', { mode: 0o700, uid: 5 })]);
    assert.equal(modeOf(table, 'a/b'), '40755');
    assert.equal(modeOf(table, 'a'), '40700');
    assert.equal(table.uid[findPath(table, 'a')], 5);
  });

  test('types, setuid, setgid and sticky bits, owners, device numbers and times are kept', () => {
    const { table } = buildTree([
      file('su', 0, 0, { mode: 0o4755, uid: 1, gid: 2, modtime: '2023-11-14T22:13:20Z' }),
      dir('tmp', { mode: 0o41777 }),
      dir('sg', { mode: 0o2755 }),
      { name: 'null', type: 'char', mode: 0o666, devMajor: 1, devMinor: 3 },
      { name: 'disk', type: 'block', mode: 0o660, devMajor: 259, devMinor: 70_000 },
      { name: 'pipe', type: 'fifo', mode: 0o600, modtime: '2001-09-09T01:46:40.25Z' },
      { name: 'link', type: 'symlink', linkName: '../é', mode: 0o700 },
      { name: 'nobody', type: 'fifo', uid: 0xfffffffe, gid: 65_534, modtime: '2024-02-29T12:00:00+02:30' },
    ]);
    const at = (path: string): number => findPath(table, path);
    assert.equal(modeOf(table, 'su'), '104755');
    assert.equal(modeOf(table, 'tmp'), '41777');
    assert.equal(modeOf(table, 'sg'), '42755');
    assert.equal(modeOf(table, 'null'), '20666');
    assert.equal(modeOf(table, 'disk'), '60660');
    assert.equal(modeOf(table, 'pipe'), '10600');
    assert.equal(modeOf(table, 'link'), '120777');
    assert.equal(table.rdev[at('null')], 0x103);
    assert.equal(table.rdev[at('disk')], ((70_000 & 0xff) | (259 << 8) | ((70_000 & 0xfff00) << 12)) >>> 0);
    assert.deepEqual([table.uid[at('su')], table.gid[at('su')], table.mtimeSec[at('su')]], [1, 2, 1_700_000_000]);
    assert.deepEqual([table.mtimeSec[at('pipe')], table.mtimeNsec[at('pipe')]], [1_000_000_000, 250_000_000]);
    assert.equal(table.mtimeSec[at('nobody')], Date.parse('2024-02-29T12:00:00+02:30') / 1000);
    assert.deepEqual([table.uid[at('nobody')], table.gid[at('nobody')]], [0xfffffffe, 65_534]);
    const start = table.targetOffset[at('link')]!;
    assert.equal(Buffer.from(table.pool.subarray(start, start + table.targetLength[at('link')]!)).toString(), '../é');
    assert.equal(table.sizeBytes[at('link')], 5);
  });

  test('hard links share an inode, also through each other, and count in nlink', () => {
    const { table } = buildTree([
      file('d/file', 0, 0),
      { name: 'second', type: 'hardlink', linkName: '/d/file' },
      { name: 'd/first', type: 'hardlink', linkName: './second' },
      { name: 'third', type: 'hardlink', linkName: 'd/file', mode: 0o600, uid: 7 },
    ]);
    const inode = findPath(table, 'd/file');
    for (const path of ['d/first', 'second', 'third']) assert.equal(findPath(table, path), inode);
    assert.equal(table.nlink[inode], 4);
    assert.equal(table.uid[inode], 7);
    assert.equal(table.inodeCount, 3);
    assert.equal(table.direntCount, 5);
    assert.match(pathOf(table, inode), /^d\//);
  });

  test('nlink of a directory counts its name, its dot and its subdirectories', () => {
    const { table } = buildTree([dir('a'), dir('a/b'), dir('a/c'), file('a/f', 0, 0), dir('a/b/d')]);
    assert.equal(table.nlink[1], 3);
    assert.equal(table.nlink[findPath(table, 'a')], 4);
    assert.equal(table.nlink[findPath(table, 'a/b')], 3);
  });

  test('entries of a directory are in byte order, not in UTF-16 order', () => {
    const list = [
      'b',
      'a',
      'B',
      'ä',
      '\u{1f600}',
      '\uffee',
      'a.b',
      'a-b',
      'ab',
      ...Array.from({ length: 60 }, (_, index) => `n${(index * 37) % 60}`),
    ];
    const { table } = buildTree(list.map((name) => file(name, 0, 0)));
    const expected = list
      .map((name) => Buffer.from(name))
      .sort(Buffer.compare)
      .map(String);
    assert.deepEqual(names(table, ''), expected);
  });

  test('the later of two entries with one name counts; a repeated directory keeps its children', () => {
    const { table } = buildTree([
      dir('a', { mode: 0o700 }),
      file('a/one', 10, 500),
      dir('a', { mode: 0o755, uid: 3 }),
      file('a/two', 0, 0),
      file('a/one', 20, 700),
      { name: 'was-link', type: 'symlink', linkName: 'x' },
      dir('was-link'),
    ]);
    assert.deepEqual(names(table, 'a'), ['one', 'two']);
    assert.equal(modeOf(table, 'a'), '40755');
    assert.equal(table.uid[findPath(table, 'a')], 3);
    assert.equal(table.sizeBytes[findPath(table, 'a/one')], 20);
    assert.equal(modeOf(table, 'was-link'), '40755');
    // What was replaced keeps its place: the lowest layer of another image may show it.
    assert.deepEqual([table.chunkCount, table.memberCount, table.dataSizeBytes], [2, 2, 8192]);
    assert.deepEqual([...table.chunkInode], [0, findPath(table, 'a/one')]);
    assert.deepEqual([table.memberOffset[1], table.memberEnd[1]], [700, 1_000_000]);
  });

  test('a whiteout is a device 0:0 with the hidden name, unless the layer has that name', () => {
    const { table } = buildTree([
      file('.wh.gone', 0, 0, { uid: 9, xattrs: { 'user.x': 'eA==' } }),
      file('d/.wh.stays', 0, 0),
      file('d/stays', 0, 0),
      dir('implied/.wh.sub'),
      file('implied/sub/file', 0, 0),
      file('.wh..wh.plnk', 0, 0),
    ]);
    assert.deepEqual(names(table, ''), ['.wh.plnk', 'd', 'gone', 'implied']);
    assert.equal(modeOf(table, 'gone'), '20000');
    const gone = findPath(table, 'gone');
    assert.deepEqual([table.rdev[gone], table.uid[gone], table.xattrLength[gone], table.nlink[gone]], [0, 9, 0, 1]);
    assert.equal(modeOf(table, 'd/stays'), '100644');
    assert.deepEqual(names(table, 'd'), ['stays']);
    assert.deepEqual(names(table, 'implied'), ['sub']);
  });

  test('an opaque directory has the xattr in the namespace of the overlay above', () => {
    const entries: JsonEntry[] = [
      dir('a', { xattrs: { 'user.b': 'eA==' } }),
      file('a/.wh..wh..opq', 0, 0),
      file('.wh..wh..opq', 0, 0),
    ];
    const trusted = buildTree(entries).table;
    assert.equal(xattrOf(trusted, 'a', 'trusted.overlay.opaque'), 'y');
    assert.equal(xattrOf(trusted, 'a', 'user.b'), 'x');
    assert.equal(xattrOf(trusted, '', 'trusted.overlay.opaque'), 'y');
    assert.deepEqual(names(trusted, 'a'), []);
    const user = buildTree(entries, { opaqueXattr: 'user' }).table;
    assert.equal(xattrOf(user, 'a', 'user.overlay.opaque'), 'y');
    assert.equal(xattrOf(user, 'a', 'trusted.overlay.opaque'), undefined);
  });

  test('landmarks and the TOC are hidden at the root only', () => {
    const { table, landmark } = buildTree([
      file('first', 5, 100),
      file('.prefetch.landmark', 1, 300),
      file('d/.prefetch.landmark', 1, 400),
      file('stargz.index.json', 10, 500),
      file('d/stargz.index.json', 0, 0),
    ]);
    assert.deepEqual(names(table, ''), ['d', 'first']);
    assert.deepEqual(names(table, 'd'), ['.prefetch.landmark', 'stargz.index.json']);
    assert.deepEqual(landmark, { kind: 'prefetch', endOffset: 300 });
    assert.equal(table.memberEnd[0], 300);
    assert.equal(table.memberCount, 2);
    assert.deepEqual(buildTree([file('.no.prefetch.landmark', 1, 300)]).landmark, { kind: 'none' });
  });

  test('extended attributes may be binary or empty, share names, and the last of two counts', () => {
    const json = Buffer.from(
      '{"entries":[{"name":"a","type":"reg","xattrs":{"user.x":"AAH/","user.x":"Ag==","user.e":""}},{"name":"b","type":"reg","xattrs":{"user.x":""}}]}',
    );
    const { table } = buildInodeTable(json, { payloadEnd: 1, opaqueXattr: 'trusted' });
    assert.equal(xattrOf(table, 'a', 'user.x'), '\x02');
    assert.equal(xattrOf(table, 'a', 'user.e'), '');
    assert.equal(table.xattrLength[findPath(table, 'a')], 2);
    assert.equal(table.xattrNameOffset[0], table.xattrNameOffset[2]);
  });

  test('content is page-aligned in TOC order, chunks are contiguous, members are in blob order', () => {
    const { table, unverifiableChunkCount } = buildTree([
      file('b', 10_000, 1000, { chunkSize: 4000 }),
      chunk('b', 2000, 4000, 4000),
      chunk('b', 3000, 8000, 0),
      file('empty', 0, 0),
      file('a', 100, 4000, { chunkDigest: '', digest: contentDigest }),
      file('inner', 50, 4000, { innerOffset: 1024, chunkSize: 50 }),
      file('c', 4097, 5000, { chunkDigest: undefined }),
    ]);
    const at = (path: string): number => findPath(table, path);
    assert.deepEqual(
      [table.dataOffset[at('b')], table.dataOffset[at('a')], table.dataOffset[at('inner')], table.dataOffset[at('c')]],
      [0, 12_288, 16_384, 20_480],
    );
    assert.equal(table.dataSizeBytes, 20_480 + 8192);
    assert.deepEqual([...table.chunkDataOffset], [0, 4000, 8000, 12_288, 16_384, 20_480]);
    assert.deepEqual([...table.chunkSizeBytes], [4000, 4000, 2000, 100, 50, 4097]);
    assert.deepEqual([...table.chunkMember], [0, 1, 2, 3, 3, 4]);
    assert.deepEqual([...table.chunkInnerOffset], [0, 0, 0, 0, 1024, 0]);
    assert.deepEqual([...table.memberOffset], [1000, 2000, 3000, 4000, 5000]);
    assert.deepEqual([...table.memberEnd], [2000, 3000, 4000, 5000, 1_000_000]);
    assert.deepEqual([...table.chunkHasDigest], [1, 1, 1, 1, 1, 0]);
    assert.equal(Buffer.from(table.chunkDigest.subarray(96, 128)).toString('hex'), contentDigest.slice(7));
    assert.equal(unverifiableChunkCount, 1);
    assert.deepEqual([table.firstChunk[at('b')], table.chunkLength[at('b')], table.firstChunk[at('c')]], [0, 3, 5]);
    assert.equal(table.chunkLength[at('empty')], 0);
  });

  test('the digest of a file is not used for one of several chunks', () => {
    const { unverifiableChunkCount } = buildTree([
      file('a', 100, 10, { chunkSize: 60, digest: contentDigest, chunkDigest: undefined }),
      chunk('a', 20, 60, 40, { chunkDigest: undefined }),
    ]);
    assert.equal(unverifiableChunkCount, 2);
  });

  test('the member at offset 0 may have content behind its tar header', () => {
    const { table } = buildTree([file('a', 10, 0, { innerOffset: 512 }), file('b', 10, 200)]);
    assert.deepEqual([...table.memberOffset], [0, 200]);
    assert.deepEqual([...table.memberEnd], [200, 1_000_000]);
  });

  test('members that are listed out of order end where the next one in the blob begins', () => {
    const { table } = buildTree([file('late', 10, 900), file('early', 10, 100), file('between', 10, 500)]);
    assert.deepEqual([...table.memberOffset], [100, 500, 900]);
    assert.deepEqual([...table.memberEnd], [500, 900, 1_000_000]);
    assert.deepEqual([...table.chunkMember], [2, 0, 1]);
  });

  test('another view of the buffer has the same table', () => {
    const { table } = buildTree([file('a/b', 10, 100, { xattrs: { 'user.x': 'eA==' } })]);
    assert.deepEqual(viewInodeTable(table.shared), table);
  });

  test('a layer written by ctr-remote is read correctly', () => {
    for (const name of ['estargz.bin', 'zstd-chunked.bin']) {
      const blob = readFileSync(new URL(`../estargz/testdata/${name}`, import.meta.url));
      const footer = parseFooter(blob.subarray(-FOOTER_MAX), blob.length)!;
      const { table, landmark, unverifiableChunkCount } = buildInodeTable(
        new TocReader(blob.subarray(footer.tocOffset, footer.tocEnd), footer),
        {
          payloadEnd: footer.payloadEnd,
          opaqueXattr: 'trusted',
          compression: footer.compression,
        },
      );
      assert.deepEqual(landmark, { kind: 'none' });
      assert.equal(unverifiableChunkCount, 0);
      assert.deepEqual(names(table, ''), ['bin', 'data', 'dev', 'empty', 'etc', 'old', 'run', 'sp <&> é中😀']);
      assert.deepEqual(names(table, 'etc'), ['gone', 'kept', 'stays']);
      assert.equal(modeOf(table, 'etc/gone'), '20000');
      assert.equal(modeOf(table, 'bin/su'), '104755');
      assert.equal(findPath(table, 'bin/su'), findPath(table, 'bin/hard'));
      assert.equal(xattrOf(table, 'bin/su', 'user.note'), 'kept é');
      assert.equal(xattrOf(table, 'etc/kept', 'trusted.overlay.opaque'), 'y');
      // An hour before 1970, which unpacking sets to 1970.
      assert.equal(table.mtimeSec[findPath(table, 'old')], 0);
      assert.equal(table.sizeBytes[findPath(table, 'data')], 130_000);
      assert.equal(table.memberEnd[table.memberCount - 1], footer.payloadEnd);
    }
  });

  test('extended attributes that Linux cannot set are left out', () => {
    const { table } = buildTree([
      file('a', 0, 0, {
        xattrs: { 'com.apple.FinderInfo': 'AA==', 'user.x': 'eA==', 'user.': 'AA==', 'system.nfs4_acl': 'AA==' },
      }),
      file('b', 0, 0, { xattrs: { 'security.selinux': 'AA==', 'LIBARCHIVE.xattr': 'AA==' } }),
    ]);
    const listed = (path: string): string => {
      const inode = findPath(table, path);
      const out = Buffer.alloc(xattrListSizeBytes(table, inode));
      writeXattrList(table, inode, out, 0);
      return out.toString();
    };
    assert.equal(listed('a'), 'user.x\0');
    assert.equal(listed('b'), 'security.selinux\0');
  });

  test('fields of other writers are skipped', () => {
    const entry = {
      ...file('a', 10, 100),
      NumLink: 0,
      accesstime: '2024-01-01T00:00:00Z',
      endOffset: 120,
      chunkType: '',
    };
    assert.equal(buildInodeTable(encodeToc([entry]), { payloadEnd: 1000, opaqueXattr: 'trusted' }).table.inodeCount, 2);
  });
});
