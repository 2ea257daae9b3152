import { digestHex, digestOf } from '../../registry/digest.ts';
import { allocateInodeTable, chunkDigestOf, type InodeTable } from '../../tree/inode-table.ts';
import type { TestMember } from './blob.ts';

export interface TestFileLayout {
  readonly members: readonly {
    readonly offset: number;
    readonly end: number;
    readonly sizeBytes: number;
    readonly chunk?: Buffer;
  }[];
}

/** An inode table with the data columns only: what the store looks at, without a tree around it. */
export function buildTestTable(files: readonly TestFileLayout[], withDigests = true): InodeTable {
  const members = files.flatMap((file) => file.members);
  const align = (n: number): number => Math.ceil(n / 4096) * 4096;
  const sizeOf = (file: TestFileLayout): number => file.members.reduce((sum, member) => sum + member.sizeBytes, 0);
  const table = allocateInodeTable({
    inodeCount: files.length + 1,
    direntCount: 0,
    xattrCount: 0,
    chunkCount: members.length,
    memberCount: members.length,
    poolSizeBytes: 0,
    dataSizeBytes: files.reduce((sum, file) => sum + align(sizeOf(file)), 0),
  });
  let dataOffset = 0;
  let chunk = 0;
  files.forEach((file, at) => {
    const inode = at + 2;
    table.mode[inode] = 0o100644;
    table.firstChunk[inode] = chunk;
    table.chunkLength[inode] = file.members.length;
    table.dataOffset[inode] = dataOffset;
    table.sizeBytes[inode] = sizeOf(file);
    let inFile = 0;
    for (const member of file.members) {
      table.chunkDataOffset[chunk] = dataOffset + inFile;
      table.chunkSizeBytes[chunk] = member.sizeBytes;
      table.chunkInode[chunk] = inode;
      table.chunkMember[chunk] = chunk;
      table.memberOffset[chunk] = member.offset;
      table.memberEnd[chunk] = member.end;
      if (withDigests && member.chunk !== undefined) {
        table.chunkHasDigest[chunk] = 1;
        chunkDigestOf(table, chunk).set(Buffer.from(digestHex(digestOf(member.chunk)), 'hex'));
      }
      inFile += member.sizeBytes;
      chunk++;
    }
    dataOffset += align(inFile);
  });
  return table;
}

/** The members of a test blob, file by file. */
export function layoutOf(members: readonly TestMember[]): TestFileLayout[] {
  const files = new Map<string, TestMember[]>();
  for (const member of members) files.set(member.name, [...(files.get(member.name) ?? []), member]);
  return [...files.values()].map((parts) => ({
    members: parts.map(({ offset, end, chunk }) => ({ offset, end, chunk, sizeBytes: chunk.length })),
  }));
}
