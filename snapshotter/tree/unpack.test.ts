import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { packedTocMagic } from '../estargz/packed-toc.ts';
import { digestOf } from '../registry/digest.ts';
import { packTree } from './pack.ts';
import { type PackedColumns, type PackedHeader, viewPackedColumns } from './packed-columns.ts';
import { buildTree, chunk, dir, file } from './testing/toc-json.ts';
import { unpackTree } from './unpack.ts';

/** What a hostile publisher may write. Rows are inode 1 (the root), d, d/a, d/b, l, n: see `tree`. */

const limit = { timeout: 10_000 };
const options = { payloadEnd: 1000, compression: 'gzip', opaqueXattr: 'trusted' } as const;
const tree = buildTree(
  [
    dir('d/', { xattrs: { 'user.x': 'eA==' } }),
    file('d/a', 100, 100, { chunkSize: 40 }),
    chunk('d/a', 200, 40, 60),
    file('d/b', 50, 300),
    { name: 'l', type: 'symlink', linkName: 'd' },
    { name: 'n', type: 'char', devMajor: 1, devMinor: 3 },
  ],
  options,
);

type Writable<Columns> = { -readonly [Name in keyof Columns]: Columns[Name] };
interface Parts {
  header: Writable<PackedHeader>;
  readonly columns: PackedColumns;
  digests: Buffer;
}

/** The packed TOC of `tree`, changed. */
function changed(change: (parts: Parts) => void): Buffer {
  const content = packTree(tree, digestOf('toc'), options.payloadEnd)!;
  const headerBytes = content.readUInt32LE(8);
  const header = JSON.parse(content.toString('utf8', 12, 12 + headerBytes)) as Writable<PackedHeader>;
  const digestsAt = 12 + headerBytes + header.columnsBytes;
  const inflated = zstdDecompressSync(content.subarray(12 + headerBytes, digestsAt));
  const bytes = new Uint8Array(inflated.length);
  bytes.set(inflated);
  const parts = { header, columns: viewPackedColumns(bytes, header), digests: content.subarray(digestsAt) };
  const { columnsBytes } = header;
  change(parts);
  const columns = zstdCompressSync(bytes);
  if (header.columnsBytes === columnsBytes) header.columnsBytes = columns.length;
  const text = Buffer.from(JSON.stringify(header));
  const textBytes = Buffer.alloc(4);
  textBytes.writeUInt32LE(text.length);
  return Buffer.concat([packedTocMagic, textBytes, text, columns, parts.digests]);
}

const text = (value: string): Uint8Array => Buffer.from(value);

const hostile: Readonly<Record<string, (parts: Parts) => void>> = {
  'a root that is a file': ({ columns }) => columns.mode.set([0o100644], 0),
  'an unknown file type': ({ columns }) => columns.mode.set([0o110644], 2),
  'a mode of more than 16 bits': ({ columns }) => columns.mode.set([columns.mode[2]! | (1 << 20)], 2),
  'a whiteout in a layer without marks': ({ columns }) => {
    columns.mode[5] = 0o020000;
    columns.rdev[5] = 0;
  },
  'a device number of a file': ({ columns }) => columns.rdev.set([5], 2),
  'a size of a directory': ({ columns }) => columns.fileSize.set([5], 1),
  'a negative size': ({ columns }) => columns.fileSize.set([-1], 2),
  'a size that is no number': ({ columns }) => columns.fileSize.set([Number.NaN], 2),
  'a time that is no integer': ({ columns }) => columns.mtimeSec.set([0.5], 2),
  'a time that containerd does not set': ({ columns }) => columns.mtimeSec.set([-1], 2),
  'too many nanoseconds': ({ columns }) => columns.mtimeNsec.set([1_000_000_000], 2),
  'an owner that means none': ({ columns }) => columns.uid.set([0xffffffff], 2),
  'entries of a file': ({ columns }) => {
    columns.direntLength[2] = 1;
    columns.direntLength[1]!--;
  },
  'more entries than there are': ({ columns }) => void columns.direntLength[1]!++,
  'a name without bytes': ({ columns }) => columns.direntNameLength.set([0], 0),
  'the name ..': ({ columns }) => {
    columns.pool.set(text('..'), 0);
    columns.direntNameLength[0] = 2;
  },
  'a slash in a name': ({ columns }) => columns.pool.set(text('/'), 0),
  'a NUL byte in a name': ({ columns }) => columns.pool.set(text('\0'), 0),
  'names out of order': ({ columns }) => columns.pool.set(text('z'), 0),
  'a name twice': ({ columns }) => columns.pool.set(text('l'), 0),
  'names beyond the pool': ({ columns }) => columns.direntNameLength.set([255], 4),
  'an entry of the root': ({ columns }) => columns.direntInodeStep.set([1], 0),
  'an entry of no inode': ({ columns }) => columns.direntInodeStep.set([99], 0),
  'an inode without a name': ({ columns }) => columns.direntInodeStep.set([2, 3, 0, -2, 1]),
  'a directory in itself': ({ columns }) => columns.direntInodeStep.set([3, 2, 1, -4, 2]),
  'a link without a target': ({ columns }) => columns.targetLength.set([0], 4),
  'a target beyond the pool': ({ columns }) => columns.targetLength.set([4000], 4),
  'permissions of a link': ({ columns }) => columns.mode.set([0o120644], 4),
  'an attribute without a name': ({ columns }) => {
    columns.xattrNameLength[0] = 0;
    columns.xattrValueLength[0]! += 6;
  },
  'attributes of nobody': ({ columns }) => columns.xattrLength.set([0], 1),
  'an attribute of another namespace': ({ columns }) => {
    columns.pool.set(text('truste'), Buffer.from(columns.pool).indexOf('user.x'));
  },
  'a chunk of a directory': ({ columns }) => columns.chunkInodeStep.set([2], 0),
  'a chunk of no file': ({ columns }) => columns.chunkInodeStep.set([0], 0),
  'chunks of a file apart': ({ columns }) => {
    columns.chunkInodeStep[1] = 1;
    columns.chunkInodeStep[2] = 0xffffffff;
  },
  'content of an empty file': ({ columns }) => columns.fileSize.set([0], 3),
  'a file without content': ({ columns }) => {
    columns.mode[4] = 0o100644;
    columns.fileSize[4] = 5;
    columns.targetLength[4] = 0;
    columns.xattrValueLength[0]!++;
  },
  'a chunk larger than its file': ({ columns }) => columns.chunkSize.set([101], 0),
  'chunks that do not fill their file': ({ columns }) => columns.chunkSize.set([10], 1),
  'half a byte': ({ columns }) => columns.chunkSize.set([40.5], 0),
  'a chunk in no member': ({ columns }) => columns.chunkMemberStep.set([9], 2),
  'chunks that overlap in a member': ({ columns }) => columns.chunkMemberStep.set([0], 1),
  'a chunk far into its member': ({ columns }) => columns.chunkInnerOffset.set([2 ** 30], 0),
  'a chunk before its member': ({ columns }) => columns.chunkInnerOffset.set([-1], 0),
  'a chunk larger than its member can hold': ({ columns }) => columns.chunkInnerOffset.set([1_000_000], 2),
  'a member of no chunk': ({ columns }) => {
    columns.chunkMemberStep[2] = 0;
    columns.chunkInnerOffset[2] = 60;
  },
  'a member without bytes': ({ columns }) => columns.memberSize.set([0], 1),
  'members that overlap': ({ columns }) => columns.memberGap.set([-5], 1),
  'a member beyond the blob': ({ columns }) => columns.memberSize.set([900], 2),
  'content at the start of the blob': ({ columns }) => {
    columns.memberGap[0] = 0;
    columns.memberSize[0] = 200;
  },
  'fewer digests': (parts) => Object.assign(parts, { digests: parts.digests.subarray(32) }),
  'digests miscounted': ({ columns }) => columns.chunkHasDigest.set([0], 0),
  'digests of another count': ({ columns }) => columns.chunkHasDigest.set([2], 0),
  'a data file of another size': ({ header }) => Object.assign(header, { dataSizeBytes: header.dataSizeBytes + 4096 }),
  'more inodes than columns': ({ header }) => void header.inodeCount++,
  'millions of inodes': ({ header }) => Object.assign(header, { inodeCount: 4_000_000_000 }),
  'no inodes': ({ header }) => Object.assign(header, { inodeCount: 0 }),
  'columns beyond the end': ({ header }) => Object.assign(header, { columnsBytes: 1e9 }),
  'a landmark outside the blob': ({ header }) =>
    Object.assign(header, { landmark: { kind: 'prefetch', endOffset: 1001 } }),
  'a landmark of another kind': ({ header }) => Object.assign(header, { landmark: { kind: 'both' } as never }),
  'a digest that is none': ({ header }) => Object.assign(header, { tocDigest: 'sha256:0' }),
};

for (const [what, change] of Object.entries(hostile)) {
  test(`a packed TOC with ${what} is refused`, limit, () => {
    assert.throws(() => unpackTree(changed(change), options), { name: 'FormatError', code: 'packed-toc' });
  });
}

test('the packed TOC that these are made of is taken', limit, () => {
  assert.equal(
    unpackTree(
      changed(() => {}),
      options,
    ).tree.table.inodeCount,
    6,
  );
});
