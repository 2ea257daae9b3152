import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BlobSource } from '../registry/blob.ts';
import { StoreError } from './error.ts';
import { type ChunkTarget, isCollected, storeMember } from './member-reader.ts';
import { MemberStream } from './member-stream.ts';

export interface Refusal {
  readonly error: StoreError;
  readonly servers: ReadonlySet<string>;
}

export interface RunProgress {
  /** Whether this run still owns the member; asked whenever bytes of it arrive. */
  wants(member: number): boolean;
  /** The member was stored, or refused with `error`; `servers` sent its bytes. */
  settled(member: number, refusal?: Refusal): void;
  /** Compressed bytes arrived. May delay its answer, as backpressure. */
  received(sizeBytes: number): Promise<void> | undefined;
  /** True if no remaining byte is wanted. */
  finished(): boolean;
}

/** Time slice for inflating and storing before it yields to the event loop: small blobs may expand a lot. */
const turnMs = 5;

/** Ending a response early costs its connection; below this, reading the rest is cheaper than a new one. */
const leastAbortedBytes = 256 * 1024;

/**
 * One ranged GET over members [first, last]: each is inflated, verified and stored as soon as its last byte is here.
 * A refused member does not stop the others. Rejects when the transfer or the disk fails.
 */
export async function streamMembers(
  target: ChunkTarget,
  source: BlobSource,
  first: number,
  last: number,
  progress: RunProgress,
  signal: AbortSignal,
): Promise<void> {
  const { table } = target;
  const end = table.memberEnd[last]!;
  let position = table.memberOffset[first]!;
  let member = first;
  let sink = openSink(target, member, progress);
  let turnEndMs = performance.now() + turnMs;
  /** The server of the current response, and the servers of the current member's bytes. */
  let server: string | undefined;
  let servers = new Set<string>();
  const onServer = (name: string): void => {
    server = name;
    servers.add(name);
  };
  const takeTurn = async (): Promise<void> => {
    await nextTurn();
    signal.throwIfAborted();
    turnEndMs = performance.now() + turnMs;
  };
  /** Another run owns the member now. Two writers of one chunk could each verify what the other has overwritten. */
  const dropIfTaken = (): void => {
    if (sink === undefined || progress.wants(member)) return;
    sink.close();
    sink = undefined;
  };
  try {
    for await (const bytes of source.fetchRange(position, end, signal, onServer)) {
      const held = progress.received(bytes.length);
      if (held !== undefined) await held;
      let at = 0;
      while (at < bytes.length && member <= last) {
        const memberOffset = table.memberOffset[member]!;
        const memberEnd = table.memberEnd[member]!;
        if (position < memberOffset) {
          const skipped = Math.min(memberOffset - position, bytes.length - at);
          at += skipped;
          position += skipped;
          continue;
        }
        const size = Math.min(memberEnd - position, bytes.length - at);
        if (performance.now() > turnEndMs) await takeTurn();
        dropIfTaken();
        for (let isMore = sink?.write(bytes.subarray(at, at + size)); isMore === true; isMore = sink?.more()) {
          await takeTurn();
          dropIfTaken();
        }
        at += size;
        position += size;
        if (position < memberEnd) continue;
        settle(sink, member, progress, servers);
        servers = new Set(server === undefined ? [] : [server]);
        if (end - position > leastAbortedBytes && progress.finished()) return;
        member++;
        sink = member <= last ? openSink(target, member, progress) : undefined;
      }
    }
  } finally {
    sink?.close();
  }
  if (member <= last) {
    throw new StoreError('fetch', target.subject, `the registry sent ${position} of ${end} bytes and then nothing`);
  }
}

interface MemberSink {
  /** True while the bytes are in use: call `more`. */
  write(bytes: Buffer): boolean;
  more(): boolean;
  finish(): void;
  close(): void;
}

function openSink(target: ChunkTarget, member: number, progress: RunProgress): MemberSink | undefined {
  if (!progress.wants(member)) return undefined;
  return isCollected(target, member) ? collectingSink(target, member) : new MemberStream(target, member);
}

/** A network buffer is valid until the next one is requested. A member within one buffer is not copied. */
function collectingSink(target: ChunkTarget, member: number): MemberSink {
  const sizeBytes = target.table.memberEnd[member]! - target.table.memberOffset[member]!;
  let collected: Buffer | undefined;
  let filled = 0;
  return {
    write(bytes) {
      if (bytes.length === sizeBytes) collected = bytes;
      else {
        collected ??= Buffer.allocUnsafe(sizeBytes);
        filled += bytes.copy(collected, filled);
      }
      return false;
    },
    more: () => false,
    finish: () => storeMember(target, member, collected!),
    close: () => {},
  };
}

function settle(
  sink: MemberSink | undefined,
  member: number,
  progress: RunProgress,
  servers: ReadonlySet<string>,
): void {
  if (sink === undefined) return;
  try {
    sink.finish();
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'corrupt') throw error;
    progress.settled(member, { error, servers });
    return;
  }
  progress.settled(member);
}
