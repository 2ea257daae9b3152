import type { InodeTable } from '../tree/inode-table.ts';
import { StoreError } from './error.ts';

/**
 * Which chunks each compressed member holds: rows [firstRow[m], firstRow[m + 1]) of `chunks`, in inner order. In shared
 * memory, for the threads that store members.
 */
export interface MemberIndex {
  readonly firstRow: Uint32Array;
  readonly chunks: Uint32Array;
}

/** Counting sort of the chunks by member. Throws StoreError 'corrupt' where members overlap or run backwards. */
export function indexMembers(table: InodeTable, subject: string): MemberIndex {
  let previousEnd = 0;
  for (let member = 0; member < table.memberCount; member++) {
    const offset = table.memberOffset[member]!;
    const end = table.memberEnd[member]!;
    if (!(offset >= previousEnd && end > offset)) {
      throw new StoreError('corrupt', subject, `the TOC's compressed members overlap at blob offset ${offset}`);
    }
    previousEnd = end;
  }
  const firstRow = sharedColumn(table.memberCount + 1);
  for (let chunk = 0; chunk < table.chunkCount; chunk++) {
    const member = table.chunkMember[chunk]!;
    if (member >= table.memberCount) throw new StoreError('corrupt', subject, `chunk ${chunk} names no member`);
    firstRow[member + 1]!++;
  }
  for (let member = 0; member < table.memberCount; member++) firstRow[member + 1]! += firstRow[member]!;
  const chunks = sharedColumn(table.chunkCount);
  const next = firstRow.slice();
  for (let chunk = 0; chunk < table.chunkCount; chunk++) chunks[next[table.chunkMember[chunk]!]!++] = chunk;
  return { firstRow: firstRow, chunks };
}

function sharedColumn(length: number): Uint32Array {
  return new Uint32Array(new SharedArrayBuffer(length * Uint32Array.BYTES_PER_ELEMENT));
}

export function chunksOf(index: MemberIndex, member: number): Uint32Array {
  return index.chunks.subarray(index.firstRow[member]!, index.firstRow[member + 1]!);
}

/** Bytes of the inflated member that chunks use; tar headers may follow and are not needed. */
export function inflatedSizeBytes(table: InodeTable, index: MemberIndex, member: number): number {
  let end = 0;
  for (const chunk of chunksOf(index, member)) {
    end = Math.max(end, table.chunkInnerOffset[chunk]! + table.chunkSizeBytes[chunk]!);
  }
  return end;
}

/** The member whose bytes begin at or first after `blobOffset`; memberCount if none. */
export function firstMemberFrom(table: InodeTable, blobOffset: number): number {
  let low = 0;
  let high = table.memberCount;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (table.memberOffset[middle]! < blobOffset) low = middle + 1;
    else high = middle;
  }
  return low;
}
