import type { Compression } from '../estargz/inflater.ts';
import { MEMBER_SIZE_LIMIT_BYTES } from '../estargz/member.ts';
import { alignData } from './build.ts';
import { DATA_SIZE_LIMIT_BYTES } from './chunk-columns.ts';
import type { InodeTable } from './inode-table.ts';
import { isRegular } from './lookup.ts';
import { ratioLimitOf } from './member-plan.ts';
import { isWhole } from './object-columns.ts';
import { type PackedColumns, refusePacked } from './packed-columns.ts';

/** Fills members and chunks, and where the files' content lies. */
export function unpackChunks(
  table: InodeTable,
  columns: PackedColumns,
  payloadEnd: number,
  compression: Compression,
): void {
  unpackMembers(table, columns, payloadEnd);
  const { chunkInode, chunkMember, chunkSizeBytes, chunkDataOffset, chunkLength, sizeBytes } = table;
  let inode = 0;
  let member = 0;
  let fileEnd = 0;
  let chunkAt = 0;
  /** Of the file whose chunks these are. */
  let leftBytes = 0;
  for (let chunk = 0; chunk < table.chunkCount; chunk++) {
    const step = columns.chunkInodeStep[chunk]!;
    member = (member + columns.chunkMemberStep[chunk]!) >>> 0;
    if (step !== 0) {
      inode = (inode + step) >>> 0;
      const isNext = leftBytes === 0 && inode > 0 && inode <= table.inodeCount;
      if (!isNext || !isRegular(table, inode) || chunkLength[inode] !== 0)
        throw refusePacked(`chunk ${chunk} is of an impossible file`);
      table.firstChunk[inode] = chunk;
      table.dataOffset[inode] = fileEnd;
      chunkAt = fileEnd;
      leftBytes = sizeBytes[inode]!;
      fileEnd += alignData(leftBytes);
      if (fileEnd > DATA_SIZE_LIMIT_BYTES) throw refusePacked('its files are too large');
    }
    const size = columns.chunkSize[chunk] === 0 ? leftBytes : columns.chunkSize[chunk]!;
    if (!Number.isInteger(size) || size <= 0 || size > leftBytes)
      throw refusePacked(`chunk ${chunk} has an impossible size`);
    chunkInode[chunk] = inode;
    chunkMember[chunk] = member;
    chunkSizeBytes[chunk] = size;
    chunkDataOffset[chunk] = chunkAt;
    chunkLength[inode]!++;
    chunkAt += size;
    leftBytes -= size;
  }
  if (leftBytes !== 0 || fileEnd !== table.dataSizeBytes) throw refusePacked('its content does not add up');
  for (let file = 1; file <= table.inodeCount; file++)
    if (isRegular(table, file) && (chunkLength[file] === 0) !== (sizeBytes[file] === 0))
      throw refusePacked(`inode ${file} has no content`);
  placeInMembers(table, columns, compression);
}

function unpackMembers(table: InodeTable, { memberGap, memberSize }: PackedColumns, payloadEnd: number): void {
  let at = 0;
  for (let member = 0; member < table.memberCount; member++) {
    const gap = memberGap[member]!;
    const size = memberSize[member]!;
    if (!Number.isInteger(gap) || gap < 0 || !Number.isInteger(size) || size <= 0 || at + gap + size > payloadEnd)
      throw refusePacked(`member ${member} is not in the blob`);
    table.memberOffset[member] = at + gap;
    at += gap + size;
    table.memberEnd[member] = at;
  }
}

/** Refuses what planMembers does (member-plan.ts). */
function placeInMembers(table: InodeTable, columns: PackedColumns, compression: Compression): void {
  const { chunkMember, chunkInnerOffset, chunkSizeBytes, memberOffset, memberEnd } = table;
  const ratioLimit = ratioLimitOf(compression);
  const innerEnd = new Float64Array(table.memberCount);
  chunkInnerOffset.set(columns.chunkInnerOffset);
  for (let chunk = 0; chunk < table.chunkCount; chunk++) {
    const member = chunkMember[chunk]!;
    if (member >= table.memberCount) throw refusePacked(`chunk ${chunk} is in no member`);
    const inner = chunkInnerOffset[chunk]!;
    const end = inner + chunkSizeBytes[chunk]!;
    const isGood =
      Number.isInteger(inner) &&
      inner >= innerEnd[member]! &&
      isWhole(end, MEMBER_SIZE_LIMIT_BYTES) &&
      end <= (memberEnd[member]! - memberOffset[member]!) * ratioLimit &&
      // The member at offset 0 begins with the first tar header.
      memberOffset[member]! + inner > 0;
    if (!isGood) throw refusePacked(`chunk ${chunk} is not in its member`);
    innerEnd[member] = end;
  }
  // A member of no chunk would be fetched for nothing.
  if (innerEnd.includes(0)) throw refusePacked('a member has no chunk');
}
