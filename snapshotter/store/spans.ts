import type { InodeTable } from '../tree/inode-table.ts';

/** Members [first, last], to be fetched by one ranged GET. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

/** Present members up to this size are fetched again rather than splitting a request around them. */
export const mergeGapBytes = 16 * 1024;

/** Ascending members as spans, joined across gaps not worth a request of their own. */
export function contiguousSpans(table: InodeTable, members: readonly number[]): Span[] {
  const spans: { first: number; last: number }[] = [];
  for (const member of members) {
    const span = spans.at(-1);
    if (span !== undefined && table.memberOffset[member]! - table.memberEnd[span.last]! <= mergeGapBytes) {
      span.last = member;
    } else spans.push({ first: member, last: member });
  }
  return spans;
}

/** Runs of chunks whose members are in the spans: chunks are in data order and members in blob order. */
export function* chunkRunsOf(table: InodeTable, spans: readonly Span[]): Generator<Span> {
  const { chunkMember, chunkCount, memberCount } = table;
  const isWanted = new Uint8Array(memberCount);
  for (const { first, last } of spans) isWanted.fill(1, first, last + 1);
  for (let first = 0; first < chunkCount; first++) {
    if (isWanted[chunkMember[first]!] === 0) continue;
    let last = first;
    while (last + 1 < chunkCount && isWanted[chunkMember[last + 1]!] === 1) last++;
    yield { first, last };
    first = last;
  }
}
