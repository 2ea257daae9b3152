import type { InodeTable } from '../tree/inode-table.ts';
import type { LinkEstimate } from './link-estimate.ts';
import { chunksOf, type MemberIndex } from './member-index.ts';
import { isUsed } from './presence.ts';

/** Members [first, last], to be fetched by one ranged GET. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

export interface FetchPlan {
  /** What was missed, and what follows it closely enough to come by the same request. */
  readonly demand: Span;
  /** Worth fetching at the same time, behind what readers wait for. */
  readonly ahead: readonly Span[];
}

/** Sizes are in link windows (bandwidth x RTT), so that one policy serves near and far registries. */
export interface WindowPolicy {
  /** Unasked bytes that no reader has used yet may reach this share of the bytes readers did use... */
  readonly unusedShare: number;
  /** ...plus this much, so that the first misses of a layer need not go one member at a time. */
  readonly floorWindows: number;
  /** The rest of a file whose member was missed, beyond the budget if need be: it is nearly always used. */
  readonly fileWindows: number;
  /** Files on both sides of the missed one in its directory: programs load their modules by the directory. */
  readonly directoryWindows: number;
  /** Members larger than this are not fetched for being in the same directory, nor what lies behind them. */
  readonly neighbourBytes: number;
  /** A reader that goes on where the last window ended gets this much, doubled each time... */
  readonly streamWindows: number;
  /** ...up to this. */
  readonly mostWindows: number;
}

/** Chosen by fetch-policy.bench.ts over recorded runs. */
export const adaptivePolicy: WindowPolicy = {
  unusedShare: 0.35,
  floorWindows: 2,
  fileWindows: 4,
  directoryWindows: 4,
  neighbourBytes: 48 * 1024,
  streamWindows: 0.25,
  mostWindows: 8,
};

/** One member at a time, as a reader without any foresight would fetch: what the adaptive policy is measured against. */
export const singlePolicy: WindowPolicy = {
  unusedShare: 0,
  floorWindows: 0,
  fileWindows: 0,
  directoryWindows: 0,
  neighbourBytes: 0,
  streamWindows: 0,
  mostWindows: 0,
};

export interface FetchWindow {
  /** Widens a miss of members [first, last] by others that `isFree` (neither here nor on their way). */
  plan(first: number, last: number, isFree: (member: number) => boolean): FetchPlan;
  /** Compressed bytes: missed or used later; fetched unasked and not used so far. */
  accounts(): { readonly usedBytes: number; readonly unusedBytes: number };
}

/** Present members up to this size are fetched again rather than splitting a request around them. */
export const mergeGapBytes = 16 * 1024;
const keptStreams = 64;
/** Neighbours that lie before the missed member delay it if they come by the same request: only so many do. */
const mostDelayWindows = 0.05;

/**
 * How much more than was asked for to fetch on a miss. Fetching less than bandwidth x RTT does not pay, since the
 * request costs its round trip anyway; fetching what nobody reads wastes the link. So a miss brings the rest of its
 * file, its neighbours in the directory, and more and more of what follows while a reader goes on sequentially; all
 * bounded by a budget that only use refills: total bytes stay within (1 + unusedShare) of what was read plus the floor,
 * however badly the guesses turn out.
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
  const inodeOf = (member: number): number => table.chunkInode[chunksOf(index, member)[0]!]!;
  const directoryOf = (member: number): number => table.parent[inodeOf(member)]!;

  function settleAccounts(): void {
    unused = unused.filter((member) => {
      if (!chunksOf(index, member).some((chunk) => isUsed(bits, chunk))) return true;
      usedBytes += sizeOf(member);
      unusedBytes -= sizeOf(member);
      return false;
    });
  }

  return {
    plan(first, last, isFree) {
      settleAccounts();
      for (let member = first; member <= last; member++) if (isFree(member)) usedBytes += sizeOf(member);
      const windowBytes = link.windowBytes();
      let budgetBytes = policy.floorWindows * windowBytes + policy.unusedShare * usedBytes - unusedBytes;
      /** Takes members from `from` on in steps of `step` while they are wanted and bytes allow; returns the last. */
      const reach = (from: number, step: 1 | -1, limitBytes: number, isWanted: (member: number) => boolean): number => {
        let spentBytes = 0;
        let skippedBytes = 0;
        let end = from;
        for (let member = from + step; member >= 0 && member < table.memberCount && isWanted(member); member += step) {
          spentBytes += sizeOf(member);
          if (spentBytes > limitBytes) break;
          if (!isFree(member)) {
            skippedBytes += sizeOf(member);
            if (skippedBytes > mergeGapBytes) break;
            continue;
          }
          skippedBytes = 0;
          budgetBytes -= sizeOf(member);
          unusedBytes += sizeOf(member);
          unused.push(member);
          end = member;
        }
        return end;
      };

      const inode = inodeOf(last);
      let end = reach(last, 1, policy.fileWindows * windowBytes, (member) => inodeOf(member) === inode);
      const directory = directoryOf(last);
      const isNeighbour = (member: number): boolean =>
        directoryOf(member) === directory && sizeOf(member) <= policy.neighbourBytes;
      const neighbourBytes = (): number => Math.min(policy.directoryWindows * windowBytes, budgetBytes);
      end = reach(end, 1, neighbourBytes(), isNeighbour);
      const earned = streams.get(first);
      streams.delete(first);
      if (earned !== undefined) end = reach(end, 1, Math.min(earned * windowBytes, budgetBytes), () => true);
      const begin = reach(first, -1, neighbourBytes(), isNeighbour);

      streams.set(end + 1, Math.min(earned === undefined ? policy.streamWindows : 2 * earned, policy.mostWindows));
      if (streams.size > keptStreams) streams.delete(streams.keys().next().value!);
      const delayBytes = table.memberOffset[first]! - table.memberOffset[begin]!;
      if (delayBytes <= mostDelayWindows * windowBytes) return { demand: { first: begin, last: end }, ahead: [] };
      return { demand: { first, last: end }, ahead: [{ first: begin, last: first - 1 }] };
    },
    accounts() {
      settleAccounts();
      return { usedBytes, unusedBytes };
    },
  };
}
