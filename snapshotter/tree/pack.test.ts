import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fc } from '../../testkit/random.ts';
import { digestOf } from '../registry/digest.ts';
import { type BuiltTree, buildInodeTable } from './build.ts';
import { packTree } from './pack.ts';
import { encodeTree, treeArbitrary } from './testing/random-tree.ts';
import { assertSameTable } from './testing/same-table.ts';
import { buildTree, chunk, dir, encodeToc, file } from './testing/toc-json.ts';
import { unpackTree } from './unpack.ts';

const limit = { timeout: 120_000 };
const tocDigest = digestOf('toc');
const options = { payloadEnd: 1_000_000, compression: 'gzip', opaqueXattr: 'trusted' } as const;

function packed(tree: BuiltTree, payloadEnd: number = options.payloadEnd): Buffer {
  const content = packTree(tree, tocDigest, payloadEnd);
  assert.ok(content !== undefined, 'it has a packed TOC');
  return content;
}

describe('packed TOCs', limit, () => {
  test('of trees at random unpack to the tree of the TOC', () => {
    let count = 0;
    fc.assert(
      fc.property(
        treeArbitrary(fc.oneof(fc.constant(0), fc.nat(300_000))),
        fc.array(fc.nat(1000), { maxLength: 5 }),
        fc.infiniteStream(fc.nat()),
        (root, linkTargets, stream) => {
          const { entries, payloadEnd } = encodeTree(root, linkTargets, (items) => stream.next().value! % items);
          const tree = buildInodeTable(encodeToc(entries), { payloadEnd, opaqueXattr: 'trusted' });
          const content = packTree(tree, tocDigest, payloadEnd);
          assert.equal(content === undefined, tree.implied.length > 0);
          if (content === undefined) return;
          count++;
          const unpacked = unpackTree(content, { ...options, payloadEnd });
          assert.equal(unpacked.tocDigest, tocDigest);
          assertSameTable(unpacked.tree.table, tree.table);
        },
      ),
      { numRuns: 300 },
    );
    assert.ok(count > 50, `only ${count} had one`);
  });

  test('keep marks, landmarks, attributes, shared members and missing digests', () => {
    const tree = buildTree([
      dir('d/', { xattrs: { 'user.x': 'eA==', 'security.capability': 'AQAAAgAgAAA=' }, uid: 7, mode: 0o2755 }),
      { name: 'd/.wh..wh..opq', type: 'reg' },
      { name: '.wh.gone', type: 'reg' },
      file('first', 100, 1000, { chunkSize: 40 }),
      chunk('first', 1050, 40, 60, { chunkDigest: undefined }),
      file('small', 9, 1100, { innerOffset: 0 }),
      file('smaller', 8, 1100, { innerOffset: 512 }),
      { name: '.prefetch.landmark', type: 'reg', size: 1, offset: 1200 },
      file('empty', 0, 0),
      { name: 'again', type: 'hardlink', linkName: 'small' },
      { name: 'n', type: 'char', devMajor: 1, devMinor: 3, mode: 0o666 },
      { name: 'l', type: 'symlink', linkName: 'd' },
      { name: 'p', type: 'fifo' },
    ]);
    const { tree: unpacked } = unpackTree(packed(tree), options);
    assertSameTable(unpacked.table, tree.table);
    assert.equal(unpacked.unverifiableChunkCount, 1);
    assert.deepEqual(unpacked.landmark, { kind: 'prefetch', endOffset: 1200 });
    assert.equal(unpacked.hasMarks, true);
    assert.throws(() => unpackTree(packed(tree), { ...options, opaqueXattr: 'user' }), /userxattr/);
  });

  test('are for the blob that they were made for', () => {
    const content = packed(buildTree([file('a', 5, 10)]));
    assert.throws(() => unpackTree(content, { ...options, payloadEnd: 999_999 }), /of a blob of 1000000 bytes/);
  });

  test('are not made where the tree depends on other layers, or where stored files are not shown', () => {
    const withoutEntry = buildTree([file('a/b', 5, 10)]);
    const replaced = buildTree([file('a', 5, 10), file('a', 5, 50)]);
    for (const tree of [withoutEntry, replaced]) assert.equal(packTree(tree, tocDigest, 1_000_000), undefined);
  });

  test('charge the memory of the table before it is allocated, and give all back when they are refused', () => {
    let used = 0;
    const memory = {
      take(sizeBytes: number) {
        used += sizeBytes;
      },
      give(sizeBytes: number) {
        used -= sizeBytes;
      },
    };
    const content = packed(buildTree([dir('d/'), file('d/a', 5, 10)]));
    const { tree } = unpackTree(content, { ...options, memory });
    assert.equal(used, tree.table.shared.byteLength);
    used = 0;
    const damaged = Buffer.from(content.subarray(0, -1));
    assert.throws(() => unpackTree(damaged, { ...options, memory }), { name: 'FormatError', code: 'packed-toc' });
    assert.equal(used, 0);
    const noMore = (): never => {
      throw new Error('over the limit');
    };
    assert.throws(() => unpackTree(content, { ...options, memory: { take: noMore, give() {} } }), /over the limit/);
  });
});
