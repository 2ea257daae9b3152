import { InflateLane, type LaneOwner } from './inflate-lane.ts';
import { InflateThread } from './inflate-thread.ts';
import type { ChunkTarget } from './member-reader.ts';

/** A layer as the pool knows it. */
export interface LayerInflater {
  /** Undefined if the caller's thread is to do the work. */
  openLane(owner: LaneOwner, signal: AbortSignal): InflateLane | undefined;
  /** Call when no lane is open, before the data file is closed. */
  close(): void;
}

export interface InflatePoolOptions {
  /** 0: everything stays on the caller's thread. */
  readonly threads?: number;
}

/**
 * One per daemon: threads that inflate, verify and store fetched members. All members of a layer go to one thread, in
 * order, so that two transfers of one member cannot write at the same time.
 */
export class InflatePool {
  readonly #threads: readonly InflateThread[];
  #layers = 0;

  constructor({ threads = 1 }: InflatePoolOptions = {}) {
    this.#threads = Array.from({ length: threads }, () => new InflateThread());
  }

  openLayer(target: ChunkTarget): LayerInflater {
    const layer = this.#layers++;
    const thread = this.#threads[layer % this.#threads.length];
    if (thread === undefined) return { openLane: () => undefined, close: () => {} };
    const { subject, table, index, bits, dataFd, compression } = target;
    const present = bits.buffer as SharedArrayBuffer;
    const shared = { layer, subject, table: table.shared, index, present, dataFd, compression };
    return {
      openLane: (owner, signal) => new InflateLane(thread, shared, target, owner, signal),
      close: () => thread.removeLayer(layer),
    };
  }

  /** Ends the threads. What they had not stored fails. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}
