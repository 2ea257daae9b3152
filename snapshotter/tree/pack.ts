import { constants, zstdCompressSync } from 'node:zlib';
import { packedTocMagic } from '../estargz/packed-toc.ts';
import type { Digest } from '../registry/digest.ts';
import type { BuiltTree } from './build.ts';
import { chunkDigestOf, type InodeTable } from './inode-table.ts';
import { isDirectory, isRegular, isSymlink } from './lookup.ts';
import {
  inodeColumns,
  type PackedColumns,
  type PackedHeader,
  packedColumnsBytes,
  viewPackedColumns,
} from './packed-columns.ts';

/** Every pull reads it; made once. */
const publishedLevel = 15;

/**
 * The content of a layer's packed TOC (packed-columns.ts), of its tree as an upper layer's with `opaqueXattr` trusted. Undefined
 * where the tree depends on the layers below, or stored files are not shown: such layers have their TOC.
 */
export function packTree(
  tree: BuiltTree,
  tocDigest: Digest,
  payloadEnd: number,
  zstdLevel = publishedLevel,
): Buffer | undefined {
  const { table, landmark, unverifiableChunkCount, hasMarks, implied, replaced } = tree;
  if (implied.length > 0 || replaced.length > 0 || table.chunkInode.includes(0)) return undefined;
  const { inodeCount, direntCount, xattrCount, chunkCount, memberCount, dataSizeBytes } = table;
  const sizes = { inodeCount, direntCount, xattrCount, chunkCount, memberCount, dataSizeBytes };
  const counts = { ...sizes, poolSizeBytes: poolBytesOf(table) };
  const bytes = new Uint8Array(packedColumnsBytes(counts));
  fillColumns(viewPackedColumns(bytes, counts), table);
  const columns = zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: zstdLevel } });
  const header: PackedHeader = {
    ...counts,
    tocDigest,
    payloadEnd,
    landmark: landmark ?? null,
    unverifiableChunkCount,
    hasMarks,
    columnsBytes: columns.length,
  };
  const text = Buffer.from(JSON.stringify(header));
  const textBytes = Buffer.alloc(4);
  textBytes.writeUInt32LE(text.length);
  const chunks = Array.from({ length: chunkCount }, (_, chunk) => chunk);
  const digests = chunks
    .filter((chunk) => table.chunkHasDigest[chunk] === 1)
    .map((chunk) => chunkDigestOf(table, chunk));
  return Buffer.concat([packedTocMagic, textBytes, text, columns, ...digests]);
}

function poolBytesOf(table: InodeTable): number {
  const lengths = [table.direntNameLength, table.targetLength, table.xattrNameLength, table.xattrValueLength];
  return lengths.reduce((sum, column) => sum + column.reduce((total, length) => total + length, 0), 0);
}

function fillColumns(columns: PackedColumns, table: InodeTable): void {
  let end = 0;
  const addToPool = (offset: number, length: number): void => {
    columns.pool.set(table.pool.subarray(offset, offset + length), end);
    end += length;
  };
  fillInodes(columns, table);
  let row = 0;
  for (let inode = 1; inode <= table.inodeCount; inode++) {
    if (!isDirectory(table, inode)) continue;
    const first = table.firstDirent[inode]!;
    for (let dirent = first; dirent < first + table.direntLength[inode]!; dirent++, row++) {
      columns.direntInodeStep[row] = table.direntInode[dirent]! - (dirent === 0 ? 0 : table.direntInode[dirent - 1]!);
      columns.direntNameLength[row] = table.direntNameLength[dirent]!;
      addToPool(table.direntNameOffset[dirent]!, table.direntNameLength[dirent]!);
    }
  }
  for (let inode = 1; inode <= table.inodeCount; inode++)
    if (isSymlink(table, inode)) addToPool(table.targetOffset[inode]!, table.targetLength[inode]!);
  for (let xattr = 0; xattr < table.xattrCount; xattr++) {
    columns.xattrNameLength[xattr] = table.xattrNameLength[xattr]!;
    columns.xattrValueLength[xattr] = table.xattrValueLength[xattr]!;
    addToPool(table.xattrNameOffset[xattr]!, table.xattrNameLength[xattr]!);
    addToPool(table.xattrValueOffset[xattr]!, table.xattrValueLength[xattr]!);
  }
  fillChunks(columns, table);
}

function fillInodes(columns: PackedColumns, table: InodeTable): void {
  for (const name of inodeColumns) columns[name].set(table[name].subarray(1));
  for (let inode = 1; inode <= table.inodeCount; inode++)
    if (isRegular(table, inode)) columns.fileSize[inode - 1] = table.sizeBytes[inode]!;
}

function fillChunks(columns: PackedColumns, table: InodeTable): void {
  const { chunkInode, chunkMember, memberOffset, memberEnd } = table;
  columns.chunkInnerOffset.set(table.chunkInnerOffset);
  columns.chunkHasDigest.set(table.chunkHasDigest);
  for (let chunk = 0; chunk < table.chunkCount; chunk++) {
    const isLast = chunkInode[chunk + 1] !== chunkInode[chunk];
    columns.chunkSize[chunk] = isLast ? 0 : table.chunkSizeBytes[chunk]!;
    columns.chunkInodeStep[chunk] = chunkInode[chunk]! - (chunk === 0 ? 0 : chunkInode[chunk - 1]!);
    columns.chunkMemberStep[chunk] = chunkMember[chunk]! - (chunk === 0 ? 0 : chunkMember[chunk - 1]!);
  }
  for (let member = 0; member < table.memberCount; member++) {
    columns.memberGap[member] = memberOffset[member]! - (member === 0 ? 0 : memberEnd[member - 1]!);
    columns.memberSize[member] = memberEnd[member]! - memberOffset[member]!;
  }
}
