import { untilAborted } from '../platform/abort.ts';
import { decodeStoreError, StoreError } from './error.ts';
import {
  type InflatedLayer,
  type MessageFromInflater,
  type Piece,
  slotBytes,
  type WriteResult,
} from './inflate-message.ts';
import type { InflateThread } from './inflate-thread.ts';
import { chunksOf } from './member-index.ts';
import { type ChunkTarget, isCollected } from './member-reader.ts';
import { isPresent } from './presence.ts';

/** The transfer whose bytes a lane carries. */
export interface LaneOwner {
  /** Whether it still owns the member; bytes of others are dropped. */
  wants(member: number): boolean;
  isUrgent(): boolean;
  /** All bytes of the member were taken, and its chunks stored or refused. */
  settled(member: number, error?: StoreError): void;
}

/** The bytes of one transfer on their way to an inflating thread. */
export class InflateLane {
  readonly #thread: InflateThread;
  readonly #layer: InflatedLayer;
  readonly #target: ChunkTarget;
  readonly #owner: LaneOwner;
  readonly #signal: AbortSignal;
  readonly #lane: number;
  /** A slot that is being filled. */
  #open: { readonly slot: number; readonly pieces: Piece[]; sizeBytes: number } | undefined;
  readonly #posted = new Set<number>();
  #failure: StoreError | undefined;
  #wake: (() => void) | undefined;
  #announced = -1;
  #hasPosted = false;
  #isDead = false;

  constructor(thread: InflateThread, layer: InflatedLayer, target: ChunkTarget, owner: LaneOwner, signal: AbortSignal) {
    this.#thread = thread;
    this.#layer = layer;
    this.#target = target;
    this.#owner = owner;
    this.#signal = signal;
    this.#lane = thread.addClient({
      receive: (message) => this.#receive(message),
      died: (cause) => this.#died(cause),
    });
  }

  /**
   * Takes the member's next bytes, which the caller may reuse afterwards; waits for room. Throws what earlier bytes came to:
   * StoreError 'disk', or 'fetch' if the thread died.
   */
  async write(member: number, bytes: Uint8Array, isLast: boolean): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#open === undefined) {
        const taken = this.#thread.takeSlot(this.#owner.isUrgent(), this.#signal);
        this.#open = { slot: typeof taken === 'number' ? taken : await taken, pieces: [], sizeBytes: 0 };
      }
      if (this.#failure !== undefined) throw this.#failure;
      const open = this.#open;
      const sizeBytes = Math.min(slotBytes - open.sizeBytes, bytes.length - at);
      this.#thread.fill(open.slot, open.sizeBytes, bytes.subarray(at, at + sizeBytes));
      at += sizeBytes;
      open.pieces.push({ member, offset: open.sizeBytes, sizeBytes, isLast: isLast && at === bytes.length });
      open.sizeBytes += sizeBytes;
      if (open.sizeBytes === slotBytes) this.#post();
    }
  }

  /** Sends what is there, unless the thread is busy with earlier bytes: then more may join it. */
  flush(): void {
    if (this.#posted.size === 0) this.#post();
  }

  /** Resolves when all was settled. Throws as `write`. */
  async drain(): Promise<void> {
    this.#post();
    await untilAborted(this.#untilIdle(), this.#signal);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Discards what is left. Resolves when the thread uses the data file no more for this lane. */
  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined) this.#thread.giveSlot(open.slot);
    if (this.#hasPosted && !this.#isDead) this.#thread.post(this.#layer, { kind: 'end', lane: this.#lane });
    await this.#untilIdle();
    this.#thread.removeClient(this.#lane);
  }

  #post(): void {
    const open = this.#open;
    if (open === undefined || this.#isDead) return;
    this.#open = undefined;
    // Asked now and not when they were taken: the thread lets whoever posts last write a member.
    const pieces = open.pieces.filter(({ member }) => this.#owner.wants(member));
    if (pieces.length === 0) {
      this.#thread.giveSlot(open.slot);
      return;
    }
    for (const { member } of pieces) this.#announce(member);
    this.#posted.add(open.slot);
    this.#hasPosted = true;
    const message = {
      kind: 'write',
      lane: this.#lane,
      layer: this.#layer.layer,
      slot: open.slot,
      isUrgent: this.#owner.isUrgent(),
      pieces,
    } as const;
    this.#thread.post(this.#layer, message);
  }

  /** A streamed member's content is written before it is verified. */
  #announce(member: number): void {
    const target = this.#target;
    if (member === this.#announced || isCollected(target, member)) return;
    this.#announced = member;
    for (const chunk of chunksOf(target.index, member))
      if (!isPresent(target.bits, chunk)) target.chunkOverwritten(chunk);
  }

  #receive(message: MessageFromInflater): void {
    if (message.kind === 'ended') {
      this.#release();
      return;
    }
    this.#posted.delete(message.slot);
    this.#thread.giveSlot(message.slot);
    this.#apply(message);
    if (this.#posted.size === 0) {
      this.#post();
      if (this.#posted.size === 0) this.#wakeUp();
    }
  }

  #apply({ stored, settled, failure }: WriteResult): void {
    // It may have been verified on disk meanwhile, or stored by another transfer.
    for (const { chunk, digest } of stored)
      if (!isPresent(this.#target.bits, chunk)) this.#target.chunkStored(chunk, digest);
    for (const { member, error } of settled)
      this.#owner.settled(member, error === undefined ? undefined : decodeStoreError(error));
    if (failure !== undefined) this.#failure ??= decodeStoreError(failure);
  }

  #died(cause: Error): void {
    if (!this.#hasPosted) return;
    this.#isDead = true;
    const message = 'the thread that inflates content died; the next read fetches it again';
    this.#failure ??= new StoreError('fetch', this.#target.subject, message, cause);
    this.#release();
  }

  /** Nothing that was posted is in use any more. */
  #release(): void {
    for (const slot of this.#posted) this.#thread.giveSlot(slot);
    this.#posted.clear();
    this.#wakeUp();
  }

  #untilIdle(): Promise<void> {
    if (this.#posted.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#wake = resolve));
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
