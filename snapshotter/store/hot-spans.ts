import { type HotRange, hotUnitBytes, rankUnitBytes } from '../estargz/hot-ranges.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { type LinkEstimate, segmentBytesOf } from './link-estimate.ts';
import { firstMemberFrom } from './member-index.ts';
import type { Span } from './spans.ts';

export interface HotSpan extends Span {
  /** See FetchScheduler.submit. */
  readonly rank: number;
}

/** Members between hot ones that a request reads through, as a share of the hot bytes. */
const gapShare = 0.06;
/** A wider gap costs more than a request of its own beside the others in flight. */
const gapWindows = 0.25;

/**
 * The members that the ranges name, as spans in the order of their rank. Within a segment's worth of bytes the order is
 * given up for few requests: those close in the blob are joined, the smallest gaps first.
 */
export function planHotSpans(
  table: InodeTable,
  ranges: readonly HotRange[],
  link: Pick<LinkEstimate, 'windowBytes'>,
): HotSpan[] {
  const batchBytes = segmentBytesOf(link);
  const maxGapBytes = gapWindows * link.windowBytes();
  const spans: HotSpan[] = [];
  let batch: HotSpan[] = [];
  let bytes = 0;
  const finish = (): void => {
    const joined = joinSpans(table, batch, Math.floor(gapShare * bytes), maxGapBytes);
    spans.push(...joined.sort((a, b) => a.rank - b.rank));
    batch = [];
    bytes = 0;
  };
  for (const span of piecesOf(table, ranges, batchBytes)) {
    batch.push(span);
    bytes += bytesOf(table, span);
    if (bytes >= batchBytes) finish();
  }
  finish();
  return spans;
}

/** A member belongs to the range in which it begins. Long ranges are split, so that each part has its own rank. */
function* piecesOf(table: InodeTable, ranges: readonly HotRange[], maxBytes: number): Generator<HotSpan> {
  for (const { start, end, rank } of [...ranges].sort((a, b) => a.rank - b.rank)) {
    const last = firstMemberFrom(table, end * hotUnitBytes) - 1;
    let first = firstMemberFrom(table, start * hotUnitBytes);
    const beginOffset = table.memberOffset[first];
    for (let member = first; member <= last; member++) {
      const isFull = table.memberEnd[member]! - table.memberOffset[first]! >= maxBytes;
      if (!isFull && member < last) continue;
      const before = Math.floor((table.memberOffset[first]! - beginOffset!) / rankUnitBytes);
      yield { first, last: member, rank: rank + before };
      first = member + 1;
    }
  }
}

function joinSpans(table: InodeTable, batch: readonly HotSpan[], budgetBytes: number, maxGapBytes: number): HotSpan[] {
  const sorted = [...batch].sort((a, b) => a.first - b.first);
  const gapBefore = (index: number): number =>
    table.memberOffset[sorted[index]!.first]! - table.memberEnd[sorted[index - 1]!.last]!;
  const gaps = sorted.map((_, index) => index).slice(1);
  const joined = new Set<number>();
  let leftBytes = budgetBytes;
  for (const index of gaps.sort((a, b) => gapBefore(a) - gapBefore(b))) {
    const gapBytes = gapBefore(index);
    if (gapBytes > Math.min(leftBytes, maxGapBytes)) break;
    leftBytes -= gapBytes;
    joined.add(index);
  }
  const spans: HotSpan[] = [];
  for (const [index, span] of sorted.entries()) {
    const previous = spans.at(-1);
    if (previous === undefined || !joined.has(index)) spans.push(span);
    else {
      const rank = Math.min(previous.rank, span.rank);
      spans[spans.length - 1] = { first: previous.first, last: span.last, rank };
    }
  }
  return spans;
}

function bytesOf(table: InodeTable, { first, last }: Span): number {
  return table.memberEnd[last]! - table.memberOffset[first]!;
}
