import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fc } from '../../testkit/random.ts';
import { scanToc } from '../estargz/testing/whole-toc.ts';
import { digestOf } from '../registry/digest.ts';
import { buildInodeTable } from './build.ts';
import { chunkDigestOf, type InodeTable } from './inode-table.ts';
import {
  direntName,
  findChild,
  findPath,
  findXattr,
  isDirectory,
  pathOf,
  writeLinkTarget,
  writeXattrList,
  writeXattrValue,
  xattrListSizeBytes,
} from './lookup.ts';
import { parseTimestamp } from './rfc3339.ts';
import { encodeTree, type Node, treeArbitrary } from './testing/random-tree.ts';
import { encodeToc } from './testing/toc-json.ts';

const typeBits = { dir: 0o040000, file: 0o100000, symlink: 0o120000, fifo: 0o010000, char: 0o020000, block: 0o060000 };

/** Every path of a table with its inode, by walking the dirents; checks parents and order on the way. */
function walk(table: InodeTable): Map<string, number> {
  const found = new Map<string, number>();
  const visit = (directory: number, prefix: string): void => {
    const first = table.firstDirent[directory]!;
    for (let row = first; row < first + table.direntLength[directory]!; row++) {
      const name = direntName(table, row);
      if (row > first) assert.ok(Buffer.compare(direntName(table, row - 1), name) < 0);
      const inode = table.direntInode[row]!;
      assert.equal(findChild(table, directory, name), inode);
      found.set(prefix + name.toString(), inode);
      if (!isDirectory(table, inode)) continue;
      assert.equal(table.parent[inode], directory);
      visit(inode, `${prefix}${name}/`);
    }
  };
  visit(1, '');
  return found;
}

const unnamed = { mode: 0o755, uid: 0, gid: 0, mtimeSec: 0, xattrs: {} };

function checkNode(table: InodeTable, inode: number, node: Node, path: string): void {
  const attributes = (path === '' ? undefined : node.attributes) ?? unnamed;
  const type = node.kind === 'device' ? typeBits[node.type] : typeBits[node.kind];
  assert.equal(table.mode[inode], type | (node.kind === 'symlink' ? 0o777 : attributes.mode), path);
  // containerd sets 1970 for what is earlier; and an implied directory has the group of a set-group-ID one above it.
  assert.equal(table.mtimeSec[inode], Math.max(0, attributes.mtimeSec));
  assert.equal(table.uid[inode], attributes.uid);
  if (node.attributes !== undefined) assert.equal(table.gid[inode], attributes.gid);
  // Linux has no user.* on other kinds of files.
  const names = node.kind === 'dir' || node.kind === 'file' ? Object.keys(attributes.xattrs) : [];
  assert.equal(table.xattrLength[inode], names.length);
  const list = Buffer.alloc(xattrListSizeBytes(table, inode));
  assert.equal(writeXattrList(table, inode, list, 0), list.length);
  assert.deepEqual(list.toString().split('\0').slice(0, -1).sort(), [...names].sort());
  for (const name of names) {
    const row = findXattr(table, inode, Buffer.from(name));
    const value = Buffer.alloc(table.xattrValueLength[row]!);
    writeXattrValue(table, row, value, 0);
    assert.deepEqual(value, (attributes.xattrs as Record<string, Buffer>)[name]);
  }
  if (node.kind === 'symlink') {
    const target = Buffer.alloc(table.sizeBytes[inode]!);
    writeLinkTarget(table, inode, target, 0);
    assert.equal(target.toString(), node.target);
  }
  if (node.kind === 'file') checkChunks(table, inode, node, path);
}

function checkChunks(table: InodeTable, inode: number, node: Node & { kind: 'file' }, path: string): void {
  assert.equal(table.sizeBytes[inode], node.size);
  assert.equal(table.dataOffset[inode]! % 4096, 0);
  let at = 0;
  const first = table.firstChunk[inode]!;
  for (let row = first; row < first + table.chunkLength[inode]!; row++) {
    assert.equal(table.chunkInode[row], inode);
    assert.equal(table.chunkDataOffset[row], table.dataOffset[inode]! + at);
    const digest = Buffer.from(chunkDigestOf(table, row)).toString('hex');
    assert.equal(`sha256:${digest}`, digestOf(Buffer.from(`${path}@${at}`)));
    at += table.chunkSizeBytes[row]!;
  }
  assert.equal(at, node.size);
}

describe('trees at random', { timeout: 120_000 }, () => {
  test('a tree encoded as a TOC in any order is the same in the table', () => {
    fc.assert(
      fc.property(
        treeArbitrary(fc.oneof(fc.constant(0), fc.nat(300_000))),
        fc.array(fc.nat(1000), { maxLength: 5 }),
        fc.infiniteStream(fc.nat()),
        (tree, linkTargets, stream) => {
          const { entries, paths, links, payloadEnd } = encodeTree(
            tree,
            linkTargets,
            (count) => stream.next().value! % count,
          );
          const { table } = buildInodeTable(encodeToc(entries), { payloadEnd, opaqueXattr: 'trusted' });
          const found = walk(table);
          assert.deepEqual([...found.keys()].sort(), [...paths.keys(), ...links.keys()].sort());
          for (const [path, node] of paths) checkNode(table, found.get(path)!, node, path);
          for (const [name, target] of links) assert.equal(found.get(name), found.get(target));
          checkNode(table, 1, tree, '');
          checkWhole(table, found);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('timestamps agree with Date', () => {
    const result = { sec: 0, nsec: 0 };
    const parse = (text: string): boolean => {
      const bytes = Buffer.from(text);
      return parseTimestamp({ bytes, start: 0, end: bytes.length }, result);
    };
    fc.assert(
      fc.property(
        fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
        (date) => {
          assert.ok(parse(date.toISOString()));
          assert.equal(result.sec, Math.floor(date.getTime() / 1000));
          assert.equal(result.nsec, (((date.getTime() % 1000) + 1000) % 1000) * 1e6);
        },
      ),
      { numRuns: 2000 },
    );
    assert.ok(parse('2024-01-01T00:00:00.123456789-05:00'));
    assert.deepEqual(result, { sec: Date.parse('2024-01-01T05:00:00Z') / 1000, nsec: 123_456_789 });
    const bad = [
      '2024',
      '2024-13-01T00:00:00Z',
      '2024-04-31T00:00:00Z',
      '2024-01-01 00:00:00Z',
      '2024-01-01T24:00:00Z',
      '2024-01-01T00:60:00Z',
    ];
    bad.push(
      '2024-01-01T00:00:60Z',
      '2024-01-01T00:00:00',
      '2024-01-01T00:00:00.Z',
      '2024-01-01T00:00:00Zx',
      '2024-01-01T00:00:00+0100',
      '1900-02-29T00:00:00Z',
    );
    for (const text of bad) assert.equal(parse(text), false, text);
  });

  test('a random TOC gives a consistent table or a FormatError', () => {
    const fields = fc.record(
      {
        name: fc.oneof(
          fc.constantFrom('a', 'a/b', 'c', './a/', '.wh.a', '.wh..wh..opq', '.prefetch.landmark', 'a/../c'),
          fc.string(),
        ),
        type: fc.constantFrom('dir', 'reg', 'reg', 'chunk', 'symlink', 'hardlink', 'char', 'fifo'),
        linkName: fc.constantFrom('a', 'c', 'a/b', '/', 'x'),
        size: fc.oneof(fc.constant(0), fc.nat(20), fc.maxSafeInteger()),
        offset: fc.oneof(fc.nat(2000), fc.maxSafeInteger()),
        innerOffset: fc.oneof(fc.constant(0), fc.nat(40)),
        chunkOffset: fc.oneof(fc.constant(0), fc.nat(20)),
        chunkSize: fc.oneof(fc.constant(0), fc.nat(20)),
      },
      { requiredKeys: ['name', 'type'] },
    );
    let builtCount = 0;
    fc.assert(
      fc.property(fc.array(fields, { maxLength: 8 }), (entries) => {
        const json = encodeToc(entries);
        try {
          const { table } = buildInodeTable(json, { payloadEnd: 1000, opaqueXattr: 'trusted' });
          checkWhole(table, walk(table));
          builtCount++;
        } catch (error) {
          assert.equal((error as Error).name, 'FormatError', String((error as Error).stack));
        }
        scanToc(json, () => {});
      }),
      { numRuns: 2000 },
    );
    assert.ok(builtCount > 50, `only ${builtCount} were taken`);
  });
});

/** What must hold for any table, whatever it was built from. */
function checkWhole(table: InodeTable, found: Map<string, number>): void {
  assert.equal(found.size, table.direntCount);
  assert.deepEqual(
    [...new Set([1, ...found.values()])].sort((a, b) => a - b),
    Array.from({ length: table.inodeCount }, (_, index) => index + 1),
  );
  const nlink = new Uint32Array(table.inodeCount + 1);
  nlink[1] = 2;
  for (const inode of found.values()) {
    nlink[inode]! += isDirectory(table, inode) ? 2 : 1;
    if (isDirectory(table, inode)) nlink[table.parent[inode]!]!++;
  }
  assert.deepEqual(table.nlink, nlink);
  for (const inode of new Set(found.values())) assert.equal(findPath(table, pathOf(table, inode)), inode);
  let dataEnd = 0;
  for (let row = 0; row < table.chunkCount; row++) {
    assert.ok(table.chunkDataOffset[row]! >= dataEnd);
    dataEnd = table.chunkDataOffset[row]! + table.chunkSizeBytes[row]!;
    assert.ok(table.chunkMember[row]! < table.memberCount);
  }
  assert.ok(dataEnd <= table.dataSizeBytes);
  for (let row = 0; row < table.memberCount; row++) {
    assert.ok(table.memberOffset[row]! < table.memberEnd[row]!);
    if (row > 0) assert.ok(table.memberEnd[row - 1]! <= table.memberOffset[row]!);
  }
}
