import type { InodeTable } from '../tree/inode-table.ts';
import type { LinkEstimate } from './link-estimate.ts';
import { chunksOf, type MemberIndex } from './member-index.ts';
import { isUsed } from './presence.ts';
import { contiguousSpans, mergeGapBytes, type Span } from './spans.ts';

export interface FetchPlan {
  /** The missed members, and those close enough behind them for the same request. */
  readonly demand: Span;
  /** Fetched concurrently, at a lower priority than demand. */
  readonly ahead: readonly Span[];
  /** Bytes beyond the missed ones, by reason: see WindowPolicy. */
  readonly because: Readonly<Record<'file' | 'directory' | 'stream' | 'sweep', number>>;
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
  /**
   * While fewer unasked bytes than this share of the used ones, less a window, are without a use, somebody reads all of
   * the layer, in whatever order: what lies nearest in the blob comes as well, up to that share and `mostWindows`.
   */
  readonly sweepShare: number;
  /** A file that is read member by member is fetched ahead of its reader up to this. */
  readonly fileStreamBytes: number;
}

/** Chosen by fetch-policy.bench.ts over recorded runs. */
export const adaptivePolicy: WindowPolicy = {
  unusedShare: 0.5,
  floorWindows: 4,
  fileWindows: 8,
  directoryWindows: 4,
  neighbourBytes: 48 * 1024,
  streamWindows: 0.25,
  mostWindows: 8,
  sweepShare: 0.2,
  fileStreamBytes: 16 * 1024 * 1024,
};

/** One member at a time, without speculation: the baseline for the adaptive policy. */
export const singlePolicy: WindowPolicy = {
  unusedShare: 0,
  floorWindows: 0,
  fileWindows: 0,
  directoryWindows: 0,
  neighbourBytes: 0,
  streamWindows: 0,
  mostWindows: 0,
  sweepShare: 0,
  fileStreamBytes: 0,
};

export interface FetchWindow {
  /** Widens a miss of members [first, last] by members that are neither present nor in flight (`isFree`). */
  plan(first: number, last: number, isFree: (member: number) => boolean): FetchPlan;
  /** A reader waits for these members (ascending), all in flight: what else of the file to fetch, in parallel requests. */
  follow(members: readonly number[], isFree: (member: number) => boolean): readonly Span[];
  /** What to fetch since readers, who report nothing while they find their content present, have gone on in their files. */
  advance(isFree: (member: number) => boolean): readonly Span[];
  /** Compressed bytes: missed or used later; fetched unasked and not used so far. */
  accounts(): { readonly usedBytes: number; readonly unusedBytes: number };
}

const keptStreams = 64;
/** Neighbours before the missed member in the same request delay it: limit on their bytes. */
const mostDelayWindows = 0.05;
/** Used minus unused bytes required for a sweep: a starting program looks like one that reads everything. */
const sweepOnsetWindows = 1;
/** Maximum distance at which a sweep looks for missing members, in multiples of what it may fetch. */
const sweepReach = 4;
/** What is under way ahead of a reader of a file, of what it has read in order: a JVM's class archive is read at random. */
const fileStreamShare = 0.5;
/** One request of a file's stream: several are under way at a time, since one TCP connection may not fill the link. */
const streamRequestBytes = 2 * 1024 * 1024;

/**
 * How much more than was asked for to fetch on a miss. Fetching less than bandwidth x RTT does not pay, since the
 * request costs its round trip anyway; fetching what nobody reads wastes the link. So a miss brings the rest of its
 * file, its neighbours in the directory, more and more of what follows while a reader goes on sequentially, and of what
 * lies around while nearly all that was fetched unasked is used (tar, whose order is not the blob's). All of it is bounded
 * by a budget that only use refills: total bytes stay within (1 + unusedShare) of what was read plus the floor, however
 * badly the guesses turn out. A file's stream has its own, a share of what was read of it in order.
 */
export function createFetchWindow(
  table: InodeTable,
  index: MemberIndex,
  bits: Int32Array,
  link: Pick<LinkEstimate, 'windowBytes'>,
  policy: WindowPolicy = adaptivePolicy,
): FetchWindow {
  let usedBytes = 0;
  let unusedBytes = 0;
  const unused = new Set<number>();
  /** Where a sequential reader would miss next -> how many windows it has earned. */
  const streams = new Map<number, number>();
  /** The next member of a file that is read in order -> bytes that were. Several readers may share a file. */
  const fileStreams = new Map<number, number>();
  const sizeOf = (member: number): number => table.memberEnd[member]! - table.memberOffset[member]!;
  const inodeOf = (member: number): number => table.chunkInode[chunksOf(index, member)[0]!]!;
  const directoryOf = (member: number): number => table.parent[inodeOf(member)]!;

  const isMemberUsed = (member: number): boolean => chunksOf(index, member).some((chunk) => isUsed(bits, chunk));

  function settleAccounts(): void {
    for (const member of unused) {
      if (!isMemberUsed(member)) continue;
      unused.delete(member);
      usedBytes += sizeOf(member);
      unusedBytes -= sizeOf(member);
    }
  }

  function guess(member: number): void {
    unusedBytes += sizeOf(member);
    unused.add(member);
  }

  /** Moves streams past what their readers have used without a miss; returns where those stand. */
  function catchUp(): number[] {
    const moved: number[] = [];
    for (const [next, bytes] of [...fileStreams]) {
      let at = next;
      let readBytes = bytes;
      while (at < table.memberCount && inodeOf(at) === inodeOf(next - 1) && isMemberUsed(at)) readBytes += sizeOf(at++);
      if (at === next) continue;
      fileStreams.delete(next);
      fileStreams.set(at, readBytes);
      moved.push(at);
    }
    return moved;
  }

  /** Bytes to have under way from `next` on. */
  const streamBytes = (next: number): number =>
    Math.min(fileStreamShare * fileStreams.get(next)!, policy.fileStreamBytes);

  /** A reader is at members [first, last]: fetches ahead of it if it came there in order. */
  function stream(first: number, last: number, isFree: (member: number) => boolean): Span[] {
    catchUp();
    const next = last + 1;
    if (fileStreams.has(next)) return restOfFile(last, streamBytes(next), isFree);
    fileStreams.set(next, table.memberEnd[last]! - table.memberOffset[first]!);
    if (fileStreams.size > keptStreams) fileStreams.delete(fileStreams.keys().next().value!);
    return [];
  }

  /** The file's free members within that many bytes behind `from`, in requests of their own. */
  function restOfFile(from: number, limitBytes: number, isFree: (member: number) => boolean): Span[] {
    const inode = inodeOf(from);
    const spans: { first: number; last: number }[] = [];
    let leftBytes = limitBytes;
    let spanBytes = 0;
    for (let member = from + 1; member < table.memberCount && inodeOf(member) === inode && leftBytes > 0; member++) {
      leftBytes -= sizeOf(member);
      if (!isFree(member)) continue;
      guess(member);
      const span = spans.at(-1);
      if (span?.last === member - 1 && spanBytes < streamRequestBytes) span.last = member;
      else {
        spans.push({ first: member, last: member });
        spanBytes = 0;
      }
      spanBytes += sizeOf(member);
    }
    return spans;
  }

  /** Members of the span more than `mostDelayBytes` before the missed one get a request of their own. */
  function planOf(members: number[], first: number, mostDelayBytes: number): Pick<FetchPlan, 'demand' | 'ahead'> {
    const spans = contiguousSpans(
      table,
      members.sort((a, b) => a - b),
    );
    const at = spans.findIndex((span) => span.first <= first && first <= span.last);
    const [demand] = spans.splice(at, 1) as [Span];
    if (table.memberOffset[first]! - table.memberOffset[demand.first]! <= mostDelayBytes) {
      return { demand, ahead: spans };
    }
    const before = { first: demand.first, last: first - 1 };
    return { demand: { first, last: demand.last }, ahead: [before, ...spans] };
  }

  return {
    plan(first, last, isFree) {
      settleAccounts();
      for (let member = first; member <= last; member++) if (isFree(member)) usedBytes += sizeOf(member);
      const windowBytes = link.windowBytes();
      let budgetBytes = policy.floorWindows * windowBytes + policy.unusedShare * usedBytes - unusedBytes;
      const taken: number[] = [];
      const take = (member: number): void => {
        budgetBytes -= sizeOf(member);
        guess(member);
        taken.push(member);
      };
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
          take(member);
          end = member;
        }
        return end;
      };
      /** Takes missing members from `from` on, skipping present ones; returns what is left of the limit, in bytes. */
      const sweep = (from: number, step: 1 | -1, limitBytes: number): number => {
        let leftBytes = limitBytes;
        let pathBytes = sweepReach * limitBytes;
        for (let member = from + step; member >= 0 && member < table.memberCount && pathBytes > 0; member += step) {
          pathBytes -= sizeOf(member);
          if (!isFree(member)) continue;
          if (sizeOf(member) > leftBytes) break;
          leftBytes -= sizeOf(member);
          take(member);
        }
        return leftBytes;
      };

      const because = { file: 0, directory: 0, stream: 0, sweep: 0 };
      const count = <T>(reason: keyof typeof because, widen: () => T): T => {
        const before = unusedBytes;
        const result = widen();
        because[reason] += unusedBytes - before;
        return result;
      };
      const inode = inodeOf(last);
      const inOrder = count('file', () => stream(first, last, isFree));
      let end = count('file', () =>
        reach(last, 1, policy.fileWindows * windowBytes, (member) => inodeOf(member) === inode),
      );
      const directory = directoryOf(last);
      const isNeighbour = (member: number): boolean =>
        directoryOf(member) === directory && sizeOf(member) <= policy.neighbourBytes;
      const neighbourBytes = (): number => Math.min(policy.directoryWindows * windowBytes, budgetBytes);
      end = count('directory', () => reach(end, 1, neighbourBytes(), isNeighbour));
      const earned = streams.get(first);
      streams.delete(first);
      if (earned !== undefined)
        end = count('stream', () => reach(end, 1, Math.min(earned * windowBytes, budgetBytes), () => true));
      const begin = count('directory', () => reach(first, -1, neighbourBytes(), isNeighbour));
      const sweepBytes = Math.min(
        policy.sweepShare * usedBytes - unusedBytes - sweepOnsetWindows * windowBytes,
        policy.mostWindows * windowBytes,
      );
      if (sweepBytes > 0) count('sweep', () => sweep(begin, -1, sweep(end, 1, sweepBytes)));

      streams.set(end + 1, Math.min(earned === undefined ? policy.streamWindows : 2 * earned, policy.mostWindows));
      if (streams.size > keptStreams) streams.delete(streams.keys().next().value!);
      for (let member = first; member <= last; member++) taken.push(member);
      const { demand, ahead } = planOf(taken, first, mostDelayWindows * windowBytes);
      return { demand, ahead: [...inOrder, ...ahead], because };
    },
    follow(members, isFree) {
      const first = members[0]!;
      // What others fetch ahead, such as a profile's prefetch, is not extended by guesses.
      return unused.has(first) ? stream(first, members.at(-1)!, isFree) : [];
    },
    advance: (isFree) => catchUp().flatMap((next) => restOfFile(next - 1, streamBytes(next), isFree)),
    accounts() {
      settleAccounts();
      return { usedBytes, unusedBytes };
    },
  };
}
