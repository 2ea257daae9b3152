import { readFileSync } from 'node:fs';
import type { InodeTable } from '../../tree/inode-table.ts';
import { createFetchWindow, type WindowPolicy } from '../fetch-window.ts';
import { indexMembers } from '../member-index.ts';
import { allocatePresence, markUsed } from '../presence.ts';
import { buildTestTable, type TestFileLayout } from './table.ts';

interface Recording {
  readonly layout: readonly (readonly (number | readonly number[])[])[];
  readonly reads: Readonly<Record<string, readonly (readonly [member: number, thinkMs: number])[]>>;
}

export interface SimulatedLink {
  readonly rttMs: number;
  readonly bandwidthMbps: number;
}

export interface ReplayResult {
  readonly totalMs: number;
  readonly requests: number;
  readonly misses: readonly number[];
  readonly fetchedBytes: number;
  readonly usedBytes: number;
}

export const recording: Recording = JSON.parse(readFileSync(new URL('./recorded-reads.json', import.meta.url), 'utf8'));

/** The recorded layer's table: members back to back, directories told apart. */
export function recordedTable(): InodeTable {
  const files: TestFileLayout[] = [];
  const directories: number[] = [];
  let offset = 0;
  for (const [directory, ...sizes] of recording.layout) {
    for (const size of sizes) {
      const members = [size].flat().map((bytes) => {
        const member = { offset, end: offset + bytes, sizeBytes: bytes };
        offset += bytes;
        return member;
      });
      files.push({ members });
      directories.push(directory as number);
    }
  }
  const table = buildTestTable(files, false);
  directories.forEach((directory, at) => {
    // Directories have no rows of their own here; numbers beyond the files' are as good to tell them apart.
    table.parent[at + 2] = files.length + 2 + directory;
  });
  return table;
}

/** All of a layer by one reader, directory by directory, whose order of files is not the blob's: tar in a mount. */
export function readsOfWholeTree(table: InodeTable, thinkMs = 0.05): Recording['reads'][string] {
  // Fibonacci hashing: scatters neighbours, the same way every time.
  const scatter = (value: number): number => Math.imul(value, 0x9e3779b1) >>> 0;
  const directoryOf = (member: number): number => table.parent[table.chunkInode[member]!]!;
  const order = Array.from({ length: table.memberCount }, (_, member) => member).sort(
    (a, b) => scatter(directoryOf(a)) - scatter(directoryOf(b)) || scatter(a) - scatter(b),
  );
  return order.map((member) => [member, thinkMs] as const);
}

const quantumBytes = 16 * 1024;

interface Stream {
  readonly readyMs: number;
  readonly members: number[];
  leftBytes: number;
}

/**
 * One reader, thinking as long as it was recorded to, over a link on a virtual clock: each response starts an RTT after
 * its request, and all that are under way share the bandwidth in turns, as TCP streams do on average.
 */
export function replay(
  table: InodeTable,
  reads: Recording['reads'][string],
  policy: WindowPolicy,
  link: SimulatedLink,
): ReplayResult {
  const index = indexMembers(table, 'replay');
  const bits = new Int32Array(allocatePresence(table.chunkCount));
  const bytesPerMs = link.bandwidthMbps * 125;
  const windowBytes = (): number => Math.min(Math.max(link.rttMs * bytesPerMs, 64 * 1024), 4 * 1024 * 1024);
  const window = createFetchWindow(table, index, bits, { windowBytes }, policy);
  const sizeOf = (member: number): number => table.memberEnd[member]! - table.memberOffset[member]!;
  const arrivedMs = new Map<number, number>();
  const streams: Stream[] = [];
  const misses: number[] = [];
  let linkMs = 0;
  let nowMs = 0;
  let requests = 0;
  let fetchedBytes = 0;
  const requested = new Set<number>();

  const request = (first: number, last: number): void => {
    requests++;
    const members: number[] = [];
    for (let member = first; member <= last; member++) {
      members.push(member);
      requested.add(member);
      fetchedBytes += sizeOf(member);
    }
    streams.push({ readyMs: nowMs + link.rttMs, members, leftBytes: sizeOf(first) });
  };
  /** Lets the link carry a quantum; false when it has nothing to carry by `untilMs`. */
  const carry = (untilMs: number): boolean => {
    const at = streams.findIndex((stream) => stream.readyMs <= linkMs);
    if (at < 0) {
      const next = Math.min(...streams.map((stream) => stream.readyMs));
      if (!(next <= untilMs)) return false;
      linkMs = Math.max(linkMs, next);
      return true;
    }
    if (linkMs >= untilMs) return false;
    const [stream] = streams.splice(at, 1) as [Stream];
    const bytes = Math.min(quantumBytes, stream.leftBytes);
    linkMs += bytes / bytesPerMs;
    stream.leftBytes -= bytes;
    if (stream.leftBytes === 0) {
      const member = stream.members.shift()!;
      if (!arrivedMs.has(member)) arrivedMs.set(member, linkMs);
      if (stream.members.length > 0) stream.leftBytes = sizeOf(stream.members[0]!);
    }
    if (stream.members.length > 0) streams.push(stream);
    return true;
  };

  for (const [member, thinkMs] of reads) {
    nowMs += thinkMs;
    while (carry(nowMs));
    linkMs = Math.max(linkMs, nowMs);
    markUsed(bits, member);
    if (!requested.has(member)) {
      misses.push(member);
      const plan = window.plan(member, member, (one) => !requested.has(one));
      request(plan.demand.first, plan.demand.last);
      for (const span of plan.ahead) request(span.first, span.last);
    }
    while (!arrivedMs.has(member) && carry(Number.POSITIVE_INFINITY));
    nowMs = Math.max(nowMs, arrivedMs.get(member)!);
  }
  const usedBytes = [...new Set(reads.map(([member]) => member))].reduce((sum, member) => sum + sizeOf(member), 0);
  return { totalMs: nowMs, requests, misses, fetchedBytes, usedBytes };
}
