import { FormatError } from '../estargz/error.ts';
import { type Compression, DEFLATE_RATIO_LIMIT, ZSTD_RATIO_LIMIT } from '../estargz/inflater.ts';
import type { ChunkColumns } from './chunk-columns.ts';
import type { TocReplay } from './toc-replay.ts';
import { hasData } from './visible-nodes.ts';

/** The members of the blob, and which of them hold stored chunks. */
export interface MemberPlan {
  /** Ascending offsets of all members in the TOC, and the end of the last one. */
  readonly boundaries: Float64Array;
  /** By boundary: the member's row in the table plus one, 0 without stored chunks. */
  readonly memberRow: Uint32Array;
  readonly memberCount: number;
  readonly chunkCount: number;
  /** Chunks without a digest. */
  readonly unverifiableChunkCount: number;
  /** Index of the member's boundary for a chunk's offset. */
  boundaryOf(offset: number): number;
}

/**
 * Refuses chunks that overlap in a member and chunks larger than their member can hold, so that a small blob cannot
 * promise more content than inflating it once would make.
 */
export function planMembers(replay: TocReplay, payloadEnd: number, compression: Compression | undefined): MemberPlan {
  const { chunks } = replay;
  const boundaries = findBoundaries(chunks, payloadEnd);
  const last = boundaries.length - 1;
  const memberRow = new Uint32Array(last + 1);
  const innerEnd = new Float64Array(last + 1);
  let cursor = 0;
  const boundaryOf = (offset: number): number => {
    if (boundaries[cursor] === offset) return cursor;
    cursor = cursor + 1 < last && boundaries[cursor + 1] === offset ? cursor + 1 : search(boundaries, offset);
    return cursor;
  };
  const ratioLimit = ratioLimitOf(compression);
  let chunkCount = 0;
  let unverifiableChunkCount = 0;
  for (let row = 0; row < chunks.chunkCount; row++) {
    if (!hasData(replay, chunks.chunkObject[row]!)) continue;
    chunkCount++;
    if (chunks.chunkHasDigest[row] === 0) unverifiableChunkCount++;
    const boundary = boundaryOf(chunks.chunkOffset[row]!);
    const inner = chunks.chunkInner[row]!;
    const end = inner + chunks.chunkSize[row]!;
    if (inner < innerEnd[boundary]!)
      throw chunkError(replay, row, 'overlaps another chunk of the same compressed member');
    const memberBytes = boundaries[boundary + 1]! - boundaries[boundary]!;
    if (end > memberBytes * ratioLimit) {
      throw chunkError(
        replay,
        row,
        `ends ${end} bytes into a member of ${memberBytes} compressed bytes, more than that can hold`,
      );
    }
    innerEnd[boundary] = end;
    memberRow[boundary] = 1;
  }
  let memberCount = 0;
  for (let boundary = 0; boundary < last; boundary++)
    if (memberRow[boundary] !== 0) memberRow[boundary] = ++memberCount;
  return { boundaries, memberRow, memberCount, chunkCount, unverifiableChunkCount, boundaryOf };
}

/** Includes landmarks: they end the member before them too. */
function findBoundaries(chunks: ChunkColumns, payloadEnd: number): Float64Array {
  const offsets = new Float64Array(chunks.chunkCount + 1);
  let isSorted = true;
  let count = 0;
  for (let row = 0; row < chunks.chunkCount; row++) {
    const offset = chunks.chunkOffset[row]!;
    if (count > 0 && offset === offsets[count - 1]) continue;
    if (count > 0 && offset < offsets[count - 1]!) isSorted = false;
    offsets[count++] = offset;
  }
  if (!isSorted) {
    const sorted = offsets.subarray(0, count).sort();
    let kept = 0;
    for (let index = 0; index < count; index++)
      if (kept === 0 || sorted[index] !== sorted[kept - 1]) sorted[kept++] = sorted[index]!;
    count = kept;
  }
  offsets[count] = payloadEnd;
  return offsets.subarray(0, count + 1);
}

function search(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function chunkError({ tree, objects, chunks }: TocReplay, row: number, problem: string): FormatError {
  const entry = tree.pathOf(objects.node[chunks.chunkObject[row]!]!);
  return new FormatError('chunk', `the chunk at offset ${chunks.chunkOffset[row]} of the blob ${problem}`, { entry });
}

export function ratioLimitOf(compression: Compression | undefined): number {
  if (compression === undefined) return Number.POSITIVE_INFINITY;
  return compression === 'gzip' ? DEFLATE_RATIO_LIMIT : ZSTD_RATIO_LIMIT;
}
