import type { InodeTable } from '../tree/inode-table.ts';
import type { LinkEstimate } from './link-estimate.ts';
import { chunksOf, type MemberIndex } from './member-index.ts';
import { isUsed } from './presence.ts';

/** Members [first, last], to be fetched by one ranged GET. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

export interface WindowPolicy {
  /** Unasked bytes that no reader has used yet may reach this share of the bytes readers did use... */
  readonly unusedShare: number;
  /** ...plus this many link windows, so that the first misses of a layer need not go one member at a time. */
  readonly floorWindows: number;
  /** A window that continues the one before it grows by this factor... */
  readonly growth: number;
  /** ...up to this many link windows. */
  readonly mostWindows: number;
  /** The rest of the file whose member was missed may make the window this many link windows long. */
  readonly fileWindows: number;
  /** Share of the window that may lie before the missed member: directories are not read in order. */
  readonly behindShare: number;
}

/** Chosen by fetch-policy.bench.ts; see docs there for the table. */
export const adaptivePolicy: WindowPolicy = {
  unusedShare: 0.35,
  floorWindows: 1,
  growth: 2,
  mostWindows: 8,
  fileWindows: 4,
  behindShare: 0,
};

/** One member at a time, as a reader without any foresight would fetch: what the adaptive policy is measured against. */
export const singlePolicy: WindowPolicy = {
  unusedShare: 0,
  floorWindows: 0,
  growth: 1,
  mostWindows: 0,
  fileWindows: 0,
  behindShare: 0,
};

export interface FetchWindow {
  /** Widens a miss of members [first, last] by neighbours that `isFree` (neither here nor on their way). */
  plan(first: number, last: number, isFree: (member: number) => boolean): Span;
  /** Compressed bytes: missed or used later; fetched unasked and not used so far. */
  accounts(): { readonly usedBytes: number; readonly unusedBytes: number };
}

/** Present members up to this size are fetched again rather than splitting a request around them. */
export const mergeGapBytes = 16 * 1024;
const keptStreams = 64;

/**
 * How much more than was asked for to fetch on a miss. Fetching less than bandwidth x RTT does not pay, since the
 * request costs its round trip anyway; fetching what nobody reads wastes the link. So the window is the link's product,
 * doubled while a reader goes on sequentially, and bounded by a budget that only use refills: total bytes stay within
 * (1 + unusedShare) of what was read plus the floor, however badly the guesses turn out.
 */
export function createFetchWindow(
  table: InodeTable,
  index: MemberIndex,
  bits: Int32Array,
  link: LinkEstimate,
  policy: WindowPolicy = adaptivePolicy,
): FetchWindow {
  let usedBytes = 0;
  let unusedBytes = 0;
  let unused: number[] = [];
  /** Where a sequential reader would miss next -> how many windows it has earned. */
  const streams = new Map<number, number>();
  const sizeOf = (member: number): number => table.memberEnd[member]! - table.memberOffset[member]!;

  function settleAccounts(): void {
    unused = unused.filter((member) => {
      if (!chunksOf(index, member).some((chunk) => isUsed(bits, chunk))) return true;
      usedBytes += sizeOf(member);
      unusedBytes -= sizeOf(member);
      return false;
    });
  }

  function windowAfter(first: number, last: number): number {
    const earned = streams.get(first) ?? 1;
    streams.delete(first);
    let windows = Math.min(earned, policy.mostWindows);
    if (last + 1 < table.memberCount && inodeOf(last + 1) === inodeOf(last))
      windows = Math.max(windows, policy.fileWindows);
    return windows * link.windowBytes();
  }

  const inodeOf = (member: number): number => table.chunkInode[chunksOf(index, member)[0] ?? 0] ?? 0;

  return {
    plan(first, last, isFree) {
      settleAccounts();
      for (let member = first; member <= last; member++) if (isFree(member)) usedBytes += sizeOf(member);
      const earned = streams.get(first) ?? 1;
      const windowBytes = windowAfter(first, last);
      const allowanceBytes = policy.floorWindows * link.windowBytes() + policy.unusedShare * usedBytes - unusedBytes;
      let budgetBytes = Math.min(windowBytes, allowanceBytes);
      const take = (member: number): void => {
        budgetBytes -= sizeOf(member);
        unusedBytes += sizeOf(member);
        unused.push(member);
      };

      let begin = first;
      const behindBytes = budgetBytes * policy.behindShare;
      for (let spent = 0; begin > 0 && isFree(begin - 1); begin--) {
        spent += sizeOf(begin - 1);
        if (spent > behindBytes) break;
        take(begin - 1);
      }

      let end = last;
      for (
        let member = last + 1;
        member < table.memberCount && table.memberEnd[member]! - table.memberEnd[end]! <= budgetBytes;
        member++
      ) {
        if (isFree(member)) {
          budgetBytes -= table.memberOffset[member]! - table.memberEnd[end]!;
          take(member);
          end = member;
        } else if (table.memberEnd[member]! - table.memberEnd[end]! > mergeGapBytes) break;
      }
      streams.set(end + 1, Math.min(Math.max(earned, 1) * policy.growth, policy.mostWindows));
      if (streams.size > keptStreams) streams.delete(streams.keys().next().value!);
      return { first: begin, last: end };
    },
    accounts() {
      settleAccounts();
      return { usedBytes, unusedBytes };
    },
  };
}
