import { Worker } from 'node:worker_threads';
import { untilAborted } from '../platform/abort.ts';
import {
  type InflatedLayer,
  type InflateWorkerData,
  type MessageFromInflater,
  type MessageToInflater,
  slotBytes,
  slotCount,
} from './inflate-message.ts';

export interface ThreadClient {
  receive(message: MessageFromInflater): void;
  /** The thread has ended, and with it all access to the data file. */
  died(cause: Error): void;
}

/** Slots that only urgent lanes take. */
const urgentSlots = 4;

interface SlotWaiter {
  readonly isUrgent: boolean;
  readonly resolve: (slot: number) => void;
}

/**
 * One inflate-worker.ts, and the slots through which it receives bytes. The slots bound what is on its way to it: who finds
 * none free stops reading from the network. A thread that dies fails its lanes, and the next bytes start another.
 */
export class InflateThread {
  readonly #slots = new SharedArrayBuffer(slotCount * slotBytes);
  readonly #free = Array.from({ length: slotCount }, (_, slot) => slot);
  #waiting: SlotWaiter[] = [];
  readonly #clients = new Map<number, ThreadClient>();
  /** Layers that the current worker knows. */
  readonly #layers = new Set<number>();
  #worker: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #lanes = 0;
  #isClosed = false;

  #start(): void {
    if (this.#worker !== undefined || this.#isClosed) return;
    const worker = new Worker(new URL('./inflate-worker.ts', import.meta.url), {
      workerData: { slots: this.#slots } satisfies InflateWorkerData,
      name: 'inflate',
    });
    let cause: unknown;
    worker.on('message', (message: MessageFromInflater) => this.#clients.get(message.lane)?.receive(message));
    worker.on('error', (error) => {
      cause = error;
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#exited = promise;
    // Not on 'error': until it has exited, the thread may write.
    worker.on('exit', (code) => {
      this.#worker = undefined;
      this.#layers.clear();
      const died = new Error('the inflating thread ended', { cause: cause ?? `exit code ${code}` });
      for (const client of [...this.#clients.values()]) client.died(died);
      resolve();
    });
    if (this.#clients.size === 0) worker.unref();
    this.#worker = worker;
  }

  /** The number of a new lane. While lanes are open, the process does not exit. */
  addClient(client: ThreadClient): number {
    const lane = this.#lanes++;
    this.#clients.set(lane, client);
    this.#worker?.ref();
    return lane;
  }

  removeClient(lane: number): void {
    this.#clients.delete(lane);
    if (this.#clients.size === 0) this.#worker?.unref();
  }

  post(layer: InflatedLayer, message: MessageToInflater): void {
    this.#start();
    if (!this.#layers.has(layer.layer)) {
      this.#layers.add(layer.layer);
      this.#send({ kind: 'add-layer', ...layer });
    }
    this.#send(message);
  }

  removeLayer(layer: number): void {
    if (this.#layers.delete(layer)) this.#send({ kind: 'remove-layer', layer });
  }

  takeSlot(isUrgent: boolean, signal: AbortSignal): number | Promise<number> {
    if (this.#hasSlot(isUrgent)) return this.#free.pop()!;
    const { promise, resolve } = Promise.withResolvers<number>();
    const waiter = { isUrgent, resolve };
    this.#waiting.push(waiter);
    return untilAborted(promise, signal).catch((reason) => {
      if (this.#waiting.includes(waiter)) this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      // It was given, but the abort came first.
      else void promise.then((slot) => this.giveSlot(slot));
      throw reason;
    });
  }

  giveSlot(slot: number): void {
    this.#free.push(slot);
    const next = this.#waiting.find(({ isUrgent }) => isUrgent) ?? this.#waiting[0];
    if (next === undefined || !this.#hasSlot(next.isUrgent)) return;
    this.#waiting.splice(this.#waiting.indexOf(next), 1);
    next.resolve(this.#free.pop()!);
  }

  /** Copies into a slot; the caller holds it. */
  fill(slot: number, at: number, bytes: Uint8Array): void {
    new Uint8Array(this.#slots, slot * slotBytes + at, bytes.length).set(bytes);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
    await this.#exited;
  }

  #hasSlot(isUrgent: boolean): boolean {
    return this.#free.length > (isUrgent ? 0 : urgentSlots);
  }

  #send(message: MessageToInflater): void {
    this.#worker?.postMessage(message);
  }
}
