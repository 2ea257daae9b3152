import { performance } from 'node:perf_hooks';
import { viewInodeTable } from '../tree/inode-table.ts';
import { createDiskReserve } from './disk-reserve.ts';
import { encodeStoreError, StoreError } from './error.ts';
import {
  type InflatedLayer,
  type MessageFromInflater,
  type MessageToInflater,
  type Piece,
  slotBytes,
  type WriteResult,
} from './inflate-message.ts';
import { type ChunkTarget, isCollected } from './member-reader.ts';
import { type MemberSink, openSink } from './member-sink.ts';

interface Layer {
  readonly target: ChunkTarget;
  /**
   * The lane that last brought bytes of a streamed member. Its content is written before it is verified, so bytes that an
   * earlier lane still has in its queue must not be written over those of its successor.
   */
  readonly owners: Map<number, number>;
}

interface Batch {
  readonly slot: number;
  readonly result: Mutable<WriteResult>;
  /** Stores the pieces; each step takes a few milliseconds at most. */
  readonly work: Generator<void, void>;
}

interface Mutable<R extends WriteResult> {
  readonly stored: R['stored'][number][];
  readonly settled: R['settled'][number][];
  failure?: R['failure'];
}

interface Lane {
  readonly id: number;
  readonly layer: Layer;
  isUrgent: boolean;
  readonly batches: Batch[];
  /** The member whose bytes were taken last and not all. */
  current: { readonly member: number; readonly sink: MemberSink } | undefined;
  hasFailed: boolean;
}

/** Few bytes may expand to much content: after this time another lane may have its turn. */
const turnMs = 5;

export interface InflateLanes {
  receive(message: MessageToInflater): void;
  /** Does a little of the most urgent work. False if there is none. */
  step(): boolean;
}

/** Stores members as their bytes come, on the thread that calls it. Lanes of one urgency take turns. */
export function createInflateLanes(
  slots: SharedArrayBuffer,
  reply: (message: MessageFromInflater) => void,
): InflateLanes {
  const layers = new Map<number, Layer>();
  /** In order of their turns. */
  const lanes = new Map<number, Lane>();
  let result: Mutable<WriteResult>;

  function addLayer({ layer, subject, table, index, present, dataFd, compression }: InflatedLayer): void {
    const target: ChunkTarget = {
      subject,
      table: viewInodeTable(table),
      index,
      bits: new Int32Array(present),
      dataFd,
      reserve: createDiskReserve(`/proc/self/fd/${dataFd}`),
      compression,
      // The main thread did this before it posted the bytes.
      chunkOverwritten: () => {},
      chunkStored: (chunk, digest) => void result.stored.push({ chunk, digest }),
    };
    layers.set(layer, { target, owners: new Map() });
  }

  function enqueue(message: MessageToInflater & { readonly kind: 'write' }): void {
    const { slot, pieces, isUrgent } = message;
    const layer = layers.get(message.layer)!;
    let lane = lanes.get(message.lane);
    if (lane === undefined) {
      lane = { id: message.lane, layer, isUrgent, batches: [], current: undefined, hasFailed: false };
      lanes.set(message.lane, lane);
    }
    lane.isUrgent = isUrgent;
    for (const { member } of pieces) if (!isCollected(layer.target, member)) layer.owners.set(member, lane.id);
    lane.batches.push({ slot, result: { stored: [], settled: [] }, work: storeBatch(lane, slot, pieces) });
  }

  function* storeBatch(lane: Lane, slot: number, pieces: readonly Piece[]): Generator<void, void> {
    let turnEndMs = performance.now() + turnMs;
    for (const { member, offset, sizeBytes, isLast } of pieces) {
      const bytes = Buffer.from(slots, slot * slotBytes + offset, sizeBytes);
      const sink = sinkFor(lane, member);
      for (let isMore = sink?.write(bytes); isMore === true && isOwner(lane, member); isMore = sink?.more()) {
        yield;
        turnEndMs = performance.now() + turnMs;
      }
      if (isLast && sink !== undefined) finish(lane, member, sink);
      if (performance.now() <= turnEndMs) continue;
      yield;
      turnEndMs = performance.now() + turnMs;
    }
  }

  /** Undefined if another lane has the member now. */
  function sinkFor(lane: Lane, member: number): MemberSink | undefined {
    const isOpen = lane.current?.member === member;
    if (!isOpen || !isOwner(lane, member)) closeSink(lane);
    if (!isOwner(lane, member)) return undefined;
    lane.current ??= { member, sink: openSink(lane.layer.target, member) };
    return lane.current.sink;
  }

  function isOwner({ id, layer }: Lane, member: number): boolean {
    return layer.owners.get(member) === id || isCollected(layer.target, member);
  }

  function finish(lane: Lane, member: number, sink: MemberSink): void {
    if (!isOwner(lane, member)) return;
    lane.current = undefined;
    lane.layer.owners.delete(member);
    try {
      sink.finish();
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'corrupt') throw error;
      result.settled.push({ member, error: encodeStoreError(error) });
      return;
    }
    result.settled.push({ member });
  }

  function closeSink(lane: Lane): void {
    lane.current?.sink.close();
    lane.current = undefined;
  }

  function end(id: number): void {
    const lane = lanes.get(id);
    if (lane !== undefined) {
      closeSink(lane);
      lanes.delete(id);
      for (const [member, owner] of lane.layer.owners) if (owner === id) lane.layer.owners.delete(member);
    }
    reply({ kind: 'ended', lane: id });
  }

  function nextLane(): Lane | undefined {
    let next: Lane | undefined;
    for (const lane of lanes.values()) {
      if (lane.batches.length === 0) continue;
      if (lane.isUrgent) return lane;
      next ??= lane;
    }
    return next;
  }

  /** True when the batch is done. */
  function work(lane: Lane, batch: Batch): boolean {
    if (lane.hasFailed) return true;
    result = batch.result;
    try {
      return batch.work.next().done === true;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      lane.hasFailed = true;
      closeSink(lane);
      batch.result.failure = encodeStoreError(error);
      return true;
    }
  }

  return {
    receive(message) {
      switch (message.kind) {
        case 'add-layer':
          return addLayer(message);
        case 'remove-layer':
          return void layers.delete(message.layer);
        case 'write':
          return enqueue(message);
        case 'end':
          return end(message.lane);
      }
    },
    step() {
      const lane = nextLane();
      if (lane === undefined) return false;
      lanes.delete(lane.id);
      lanes.set(lane.id, lane);
      const batch = lane.batches[0]!;
      if (work(lane, batch)) {
        lane.batches.shift();
        reply({ kind: 'written', lane: lane.id, slot: batch.slot, ...batch.result });
      }
      return true;
    },
  };
}
