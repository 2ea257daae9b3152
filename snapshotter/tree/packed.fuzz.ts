import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { type FuzzTarget, refusing } from '../../testkit/fuzz-target.ts';
import { digestOf } from '../registry/digest.ts';
import { packTree } from './pack.ts';
import { checkTable } from './testing/check-table.ts';
import { buildTree, chunk, dir, file } from './testing/toc-json.ts';
import { unpackTree } from './unpack.ts';

const payloadEnd = 100_000;
const headerAt = 12;

const trees = [
  buildTree([dir('a/'), file('a/b', 5, 10), { name: 'c', type: 'hardlink', linkName: 'a/b' }], { payloadEnd }),
  buildTree(
    [
      dir('d/', { xattrs: { 'user.x': 'eA==' }, uid: 7 }),
      { name: 'd/.wh..wh..opq', type: 'reg' },
      { name: '.wh.gone', type: 'reg' },
      file('big', 100, 10, { chunkSize: 40 }),
      chunk('big', 50, 40, 60),
      { name: 'l', type: 'symlink', linkName: 'd' },
      { name: 'n', type: 'char', devMajor: 1, devMinor: 3 },
    ],
    { payloadEnd },
  ),
];

/**
 * Mutations work on inflated columns, which `run` compresses again: header, columns and digests as they would be without zstd,
 * with the length of the columns in the header corrected.
 */
function inflate(content: Buffer): Buffer {
  const columnsAt = headerAt + content.readUInt32LE(8);
  const { columnsBytes } = JSON.parse(content.toString('utf8', headerAt, columnsAt)) as { columnsBytes: number };
  const columns = zstdDecompressSync(content.subarray(columnsAt, columnsAt + columnsBytes));
  const header = content.toString('utf8', headerAt, columnsAt).replace(`:${columnsBytes}}`, `:${columns.length}}`);
  const headerBytes = Buffer.alloc(4);
  headerBytes.writeUInt32LE(header.length);
  const parts = [content.subarray(0, 8), headerBytes, Buffer.from(header), columns];
  return Buffer.concat([...parts, content.subarray(columnsAt + columnsBytes)]);
}

function deflate(input: Buffer): Buffer {
  const columnsAt = headerAt + (input.length < headerAt ? 0 : input.readUInt32LE(8));
  const header = input.toString('latin1', headerAt, columnsAt);
  const length = Number(/"columnsBytes":(\d{1,9})\}$/.exec(header)?.[1] ?? -1);
  if (length < 0 || columnsAt + length > input.length) return input;
  const columns = zstdCompressSync(input.subarray(columnsAt, columnsAt + length));
  const text = header.replace(/:\d+\}$/, `:${columns.length}}`);
  const textBytes = Buffer.alloc(4);
  textBytes.writeUInt32LE(text.length);
  const parts = [input.subarray(0, 8), textBytes, Buffer.from(text, 'latin1'), columns];
  return Buffer.concat([...parts, input.subarray(columnsAt + length)]);
}

export const targets: readonly FuzzTarget[] = [
  {
    name: 'packed-toc',
    seeds: trees.map((tree) => inflate(packTree(tree, digestOf('toc'), payloadEnd)!)),
    dictionary: [
      '"inodeCount":',
      '"landmark":',
      '"kind":"prefetch"',
      '"hasMarks":true',
      'trusted.overlay.opaque',
      '..',
    ],
    run(input) {
      const compression = input.length % 2 === 0 ? 'gzip' : 'zstd';
      refusing(['FormatError'], () => {
        const { tree } = unpackTree(deflate(input), { payloadEnd, compression, opaqueXattr: 'trusted' });
        checkTable(tree.table, payloadEnd);
      });
    },
  },
];
