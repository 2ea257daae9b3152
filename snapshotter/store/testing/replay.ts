import type { InodeTable } from '../../tree/inode-table.ts';
import { createFetchWindow, type FetchWindow, type WindowPolicy } from '../fetch-window.ts';
import { type MemberIndex, indexMembers } from '../member-index.ts';
import { allocatePresence, markUsed } from '../presence.ts';
import { type Recording, recordedTable } from './recording.ts';
import type { Span } from '../spans.ts';

export interface SimulatedLink {
  readonly rttMs: number;
  readonly bandwidthMbps: number;
}

export interface ReplayResult {
  readonly totalMs: number;
  readonly requests: number;
  /** Reads that waited for a request of their own. */
  readonly misses: number;
  readonly fetchedBytes: number;
  readonly usedBytes: number;
  /** While a reader waited and nothing was under way on the link's data direction. */
  readonly idleMs: number;
}

export interface ReplayOptions {
  /** Fetch the files that a program, library or script names, as layers/named-files.ts does. */
  readonly followsNames?: boolean;
}

/** Bytes that a stream sends before the next has its turn. */
const quantumBytes = 16 * 1024;
/** As in scheduler.ts. */
const maxAhead = 6;
/** As in stream-watch.ts. */
const streamTickMs = 5;

type Priority = 'demand' | 'ahead';

interface Run {
  readonly layer: Layer;
  readonly members: number[];
  priority: Priority;
  state: 'queued' | 'active' | 'done';
  readyMs: number;
  leftBytes: number;
  position: number;
}

interface Layer {
  readonly table: InodeTable;
  readonly bits: Int32Array;
  readonly window: FetchWindow;
  readonly owner: Map<number, Run>;
  readonly present: Set<number>;
}

/**
 * Readers as recorded, over a link on a virtual clock, with the rules of flights.ts: each response starts an RTT after its
 * request, and all that are under way share the bandwidth in turns, as TCP streams do on average. Connections are warm and
 * there is no slow start, as on the emulated link. Inflating takes no time.
 */
export function replay(
  recording: Recording,
  policy: WindowPolicy,
  link: SimulatedLink,
  { followsNames = true }: ReplayOptions = {},
): ReplayResult {
  const bytesPerMs = link.bandwidthMbps * 125;
  const windowBytes = (): number => Math.min(Math.max(link.rttMs * bytesPerMs, 64 * 1024), 4 * 1024 * 1024);
  const layers = recording.layers.map((layout): Layer => {
    const table = recordedTable(layout);
    const index: MemberIndex = indexMembers(table, 'replay');
    const bits = new Int32Array(allocatePresence(table.chunkCount));
    const window = createFetchWindow(table, index, bits, { windowBytes }, policy);
    return { table, bits, window, owner: new Map(), present: new Set() };
  });
  const sizeOf = ({ table }: Layer, member: number): number => table.memberEnd[member]! - table.memberOffset[member]!;
  let nowMs = 0;
  let requests = 0;
  let misses = 0;
  let fetchedBytes = 0;
  let idleMs = 0;
  const active: Run[] = [];
  const queue: Run[] = [];
  /** Reads by the read that they follow. */
  const followers = Map.groupBy(
    recording.reads.map((_, read) => read),
    (read) => recording.reads[read]![3],
  );
  const due: { readonly atMs: number; readonly read: number }[] = [];
  const waiting = new Map<number, Set<number>>();
  const answeredMs: number[] = [];

  const named = new Map(recording.needed.map(([at, member, files]) => [`${at} ${member}`, files] as const));
  /** First members of files that were named or that a reader waited for, and of those that were looked into. */
  const wanted = new Set<string>();
  const scanned = new Set<string>();
  const membersOf = ({ table }: Layer, member: number): { first: number; last: number } => {
    const inode = table.chunkInode[member]!;
    const first = table.firstChunk[inode]!;
    return { first, last: first + table.chunkLength[inode]! - 1 };
  };
  /** A file's names are in its first and last member: the dynamic section is near the end, its strings are at the start. */
  const scan = (at: number, member: number): void => {
    const layer = layers[at]!;
    const { first, last } = membersOf(layer, member);
    const key = `${at} ${first}` as const;
    if (!followsNames || !wanted.has(key) || scanned.has(key)) return;
    if (!layer.present.has(first) || !layer.present.has(last)) return;
    scanned.add(key);
    for (const [target, other] of named.get(key) ?? []) {
      const file = membersOf(layers[target]!, other);
      wanted.add(`${target} ${other}`);
      start(layers[target]!, { first: file.first, last: file.first }, 'ahead');
      if (file.last > file.first) start(layers[target]!, { first: file.last, last: file.last }, 'ahead');
      scan(target, other);
    }
  };
  const activate = (run: Run): void => {
    run.state = 'active';
    run.members.splice(0, run.members.length, ...run.members.filter((member) => run.layer.owner.get(member) === run));
    if (run.members.length === 0) {
      run.state = 'done';
      return;
    }
    requests++;
    run.readyMs = nowMs + link.rttMs;
    run.leftBytes = sizeOf(run.layer, run.members[0]!);
    run.position = run.layer.table.memberOffset[run.members[0]!]!;
    active.push(run);
  };
  const pump = (): void => {
    while (queue.length > 0 && active.filter((run) => run.priority === 'ahead').length < maxAhead) {
      activate(queue.shift()!);
    }
  };
  const isOvertakable = (run: Run, member: number): boolean =>
    run.state === 'queued' || run.layer.table.memberOffset[member]! - run.position > 2 * windowBytes();
  const isFree = (layer: Layer, member: number, priority: Priority): boolean => {
    const run = layer.owner.get(member);
    if (run === undefined) return !layer.present.has(member);
    return priority === 'demand' && run.priority === 'ahead' && isOvertakable(run, member);
  };
  const start = (layer: Layer, { first, last }: Span, priority: Priority): void => {
    const members: number[] = [];
    const run: Run = { layer, members, priority, state: 'queued', readyMs: 0, leftBytes: 0, position: 0 };
    for (let member = first; member <= last; member++) {
      if (layer.present.has(member)) continue;
      const before = layer.owner.get(member);
      if (before !== undefined && !(priority === 'demand' && before.priority === 'ahead')) continue;
      layer.owner.set(member, run);
      members.push(member);
    }
    if (members.length === 0) return;
    if (priority === 'demand') activate(run);
    else queue.push(run);
    pump();
  };
  const answer = (read: number): void => {
    answeredMs[read] = nowMs;
    for (const follower of followers.get(read) ?? []) {
      due.push({ atMs: nowMs + recording.reads[follower]![4], read: follower });
    }
    due.sort((a, b) => a.atMs - b.atMs);
  };
  const startRead = (read: number): void => {
    const [at, first, more] = recording.reads[read]!;
    const layer = layers[at]!;
    const missing = new Set<number>();
    const needed: number[] = [];
    for (let member = first; member <= first + more; member++) {
      markUsed(layer.bits, member);
      if (layer.present.has(member)) continue;
      wanted.add(`${at} ${membersOf(layer, member).first}`);
      missing.add(member);
      const run = layer.owner.get(member);
      if (run === undefined || (run.priority === 'ahead' && isOvertakable(run, member))) needed.push(member);
      else run.priority = 'demand';
    }
    if (needed.length > 0) {
      misses++;
      const plan = layer.window.plan(needed[0]!, needed.at(-1)!, (member) => isFree(layer, member, 'demand'));
      start(layer, plan.demand, 'demand');
      for (const span of plan.ahead) start(layer, span, 'ahead');
    } else if (missing.size > 0) {
      const spans = layer.window.follow([...missing], (member) => isFree(layer, member, 'ahead'));
      for (const span of spans) start(layer, span, 'ahead');
    }
    if (missing.size === 0) answer(read);
    else waiting.set(read, missing);
  };
  const arrive = (run: Run, member: number): void => {
    const { layer } = run;
    if (layer.owner.get(member) === run) {
      layer.owner.delete(member);
      layer.present.add(member);
    }
    scan(layers.indexOf(layer), member);
    for (const [read, missing] of waiting) {
      if (layers[recording.reads[read]![0]] !== layer || !missing.delete(member) || missing.size > 0) continue;
      waiting.delete(read);
      answer(read);
    }
  };
  /** One quantum of the first stream that is ready; it then stands last. */
  const carry = (at: number): void => {
    const [run] = active.splice(at, 1) as [Run];
    const bytes = Math.min(quantumBytes, run.leftBytes);
    nowMs += bytes / bytesPerMs;
    fetchedBytes += bytes;
    run.leftBytes -= bytes;
    run.position += bytes;
    if (run.leftBytes === 0) {
      arrive(run, run.members.shift()!);
      if (run.members.length > 0) {
        run.leftBytes = sizeOf(run.layer, run.members[0]!);
        run.position = run.layer.table.memberOffset[run.members[0]!]!;
      } else run.state = 'done';
    }
    if (run.state !== 'done') active.push(run);
    else pump();
  };

  let tickMs = streamTickMs;
  answer(-1);
  for (;;) {
    if (due.length > 0 && due[0]!.atMs <= nowMs) {
      startRead(due.shift()!.read);
      continue;
    }
    if (due.length === 0 && waiting.size === 0) break;
    if (nowMs >= tickMs) {
      tickMs = nowMs + streamTickMs;
      for (const layer of layers) {
        const spans = layer.window.advance((member) => isFree(layer, member, 'ahead'));
        for (const span of spans) start(layer, span, 'ahead');
      }
    }
    const at = active.findIndex((run) => run.readyMs <= nowMs);
    if (at >= 0) {
      carry(at);
      continue;
    }
    const next = Math.min(due[0]?.atMs ?? tickMs, tickMs, ...active.map((run) => run.readyMs));
    if (waiting.size > 0) idleMs += next - nowMs;
    nowMs = next;
  }
  const usedBytes = recording.reads.reduce((sum, [at, first, more]) => {
    for (let member = first; member <= first + more; member++) sum += sizeOf(layers[at]!, member);
    return sum;
  }, 0);
  const totalMs = answeredMs[recording.ready[0]]! + recording.ready[1];
  for (const run of [...active, ...queue]) {
    for (const member of run.members)
      if (run.layer.owner.get(member) === run) fetchedBytes += sizeOf(run.layer, member);
  }
  return { totalMs, requests, misses, fetchedBytes, usedBytes, idleMs };
}
