import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { StoreError } from './error.ts';
import type { InflateLane } from './inflate-lane.ts';
import type { LayerInflater } from './inflate-pool.ts';
import { inflatedSizeBytes } from './member-index.ts';
import { type ChunkTarget, isCollected } from './member-reader.ts';
import { type MemberSink, openSink } from './member-sink.ts';

export interface Refusal {
  readonly error: StoreError;
  readonly servers: ReadonlySet<string>;
}

/** The transfer that brings the members. */
export interface MemberOwner {
  /** Whether it still owns the member; asked whenever bytes of it arrive or are passed on. */
  wants(member: number): boolean;
  /** Whether a reader waits for the member. */
  isDemanded(member: number): boolean;
  isUrgent(): boolean;
  /** The member was stored, or refused with `error`; `servers` sent its bytes. */
  settled(member: number, refusal?: Refusal): void;
}

/** The bytes are a part of a member. */
interface Place {
  readonly isFirst: boolean;
  readonly isLast: boolean;
  readonly servers: ReadonlySet<string>;
}

/** Takes the members of one transfer, in order. */
export interface MemberDispatch {
  /** `bytes` may be reused afterwards. Throws StoreError 'disk', or 'fetch' if the inflating thread died. */
  write(member: number, bytes: Buffer, place: Place): Promise<void>;
  /** Call when no more bytes are at hand. */
  flush(): void;
  /** Resolves when all members of which all bytes came were settled. Throws as `write`. */
  drain(): Promise<void>;
  /** Discards what is left. Resolves when the data file is no longer in use. */
  close(): Promise<void>;
  /** Number of members of which all bytes were passed on. */
  unsettled(): number;
}

/** Time slice for inflating and storing here before it yields to the event loop: small blobs may expand a lot. */
const turnMs = 5;

/**
 * A member of so much content is inflated in 0.4 ms. To another thread and back takes 0.1 ms, and longer if that is busy or
 * has no core to run on.
 */
const mostInlineBytes = 128 * 1024;

/**
 * Decides member by member which thread stores it: this one if it is small and a reader waits for it, else an inflating
 * thread. Streamed members never take the short cut, since their bytes are written before they are verified, and two
 * threads must not write one member.
 */
export function openMemberDispatch(
  target: ChunkTarget,
  inflater: LayerInflater,
  owner: MemberOwner,
  signal: AbortSignal,
): MemberDispatch {
  /** Members whose last byte is on its way to the thread, with the servers of their bytes. */
  const passedOn = new Map<number, ReadonlySet<string>>();
  let lane: InflateLane | undefined;
  let sink: MemberSink | undefined;
  let turnEndMs = performance.now() + turnMs;

  function laneFor(member: number): InflateLane | undefined {
    if (owner.isDemanded(member) && isSmall(target, member)) return undefined;
    lane ??= inflater.openLane({ wants: owner.wants, isUrgent: owner.isUrgent, settled }, signal);
    return lane;
  }

  function settled(member: number, error?: StoreError): void {
    const servers = passedOn.get(member);
    passedOn.delete(member);
    if (!owner.wants(member)) return;
    owner.settled(member, error === undefined || servers === undefined ? undefined : { error, servers });
  }

  async function takeTurn(): Promise<void> {
    await nextTurn();
    signal.throwIfAborted();
    turnEndMs = performance.now() + turnMs;
  }

  /** Two writers of one chunk could each verify what the other has overwritten. */
  function dropIfTaken(member: number): void {
    if (sink === undefined || owner.wants(member)) return;
    sink.close();
    sink = undefined;
  }

  async function writeHere(member: number, bytes: Buffer, { isLast, servers }: Place): Promise<void> {
    if (performance.now() > turnEndMs) await takeTurn();
    dropIfTaken(member);
    for (let isMore = sink?.write(bytes); isMore === true; isMore = sink?.more()) {
      await takeTurn();
      dropIfTaken(member);
    }
    if (!isLast || sink === undefined) return;
    const done = sink;
    sink = undefined;
    const error = finish(done);
    owner.settled(member, error && { error, servers });
  }

  let current: InflateLane | undefined;
  return {
    async write(member, bytes, place) {
      if (place.isFirst) {
        current = laneFor(member);
        sink = current === undefined && owner.wants(member) ? openSink(target, member) : undefined;
      }
      if (current === undefined) return await writeHere(member, bytes, place);
      if (!owner.wants(member)) return;
      if (place.isLast) passedOn.set(member, place.servers);
      await current.write(member, bytes, place.isLast);
    },
    flush: () => lane?.flush(),
    drain: async () => await lane?.drain(),
    async close() {
      sink?.close();
      await lane?.close();
    },
    unsettled: () => passedOn.size,
  };
}

function isSmall(target: ChunkTarget, member: number): boolean {
  return isCollected(target, member) && inflatedSizeBytes(target.table, target.index, member) <= mostInlineBytes;
}

/** The reason for which a damaged member was refused. Throws StoreError 'disk'. */
function finish(sink: MemberSink): StoreError | undefined {
  try {
    sink.finish();
    return undefined;
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'corrupt') throw error;
    return error;
  }
}
