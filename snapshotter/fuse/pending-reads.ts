import { readFile } from 'node:fs/promises';
import { preadDescriptor, writeDescriptor } from '../platform/syscalls.ts';
import { demandRange, type LayerReader } from '../store/layer-reader.ts';
import type { Miss } from './dispatch.ts';
import { maxReadBytes } from './init.ts';
import { errorName, type ReplyTrace } from './trace.ts';
import { encodeReplyHeader, errno, replyHeaderBytes } from './wire.ts';

export interface PendingReadsOptions {
  readonly fuseFd: number;
  /** After this a read fails with EIO, whatever `ensure` does. */
  readonly limitMs: number;
  onFailure(miss: Miss, error: unknown): void;
  readonly onReply?: ((trace: ReplyTrace) => void) | undefined;
}

interface Pending {
  readonly miss: Miss;
  settle(error: number): void;
  abandon(): void;
  interrupted: boolean;
}

/** How often the thread behind an interrupted read is checked. */
const fatalCheckMs = 200;
const sigkillBit = 1n << 8n;

/** Reads of missing bytes: the requests of the kernel that still have to be answered. */
export class PendingReads {
  readonly #pending = new Map<string, Pending>();
  readonly #options: PendingReadsOptions;
  /** Read and write are both synchronous, so one buffer serves all. */
  readonly #output = Buffer.alloc(replyHeaderBytes + maxReadBytes);
  readonly #body = this.#output.subarray(replyHeaderBytes);
  readonly #view = new DataView(this.#output.buffer, this.#output.byteOffset, this.#output.length);

  constructor(options: PendingReadsOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#pending.size;
  }

  /** Answers the read when its bytes have come, or fails it. */
  serve(miss: Miss, reader: LayerReader, dataFd: number): void {
    const key = keyOf(miss.uniqueLow, miss.uniqueHigh);
    const startedMs = performance.now();
    const demand = demandRange(reader, miss.dataOffset, miss.sizeBytes, this.#options.limitMs);
    /** True for the first call. */
    const forget = (): boolean => this.#pending.get(key) === pending && this.#pending.delete(key);
    const settle = (error: number): void => {
      if (!forget()) return;
      let answered = error;
      if (error === 0) answered = this.#replyData(miss, dataFd);
      else {
        this.#replyError(miss.uniqueLow, miss.uniqueHigh, error);
        demand.cancel(new Error('the read was answered'));
      }
      this.#options.onReply?.(traceOf(miss, answered, performance.now() - startedMs));
    };
    const abandon = (): void => {
      if (forget()) demand.cancel(new Error('the read is left to another process'));
    };
    const fail = (error: unknown): void => {
      if (this.#pending.get(key) !== pending) return;
      this.#options.onFailure(miss, error);
      settle(errno.EIO);
    };
    const pending: Pending = { miss, settle, abandon, interrupted: false };
    this.#pending.set(key, pending);
    demand.done.then(() => settle(0), fail);
  }

  /** Fails a read that cannot be served at all. */
  refuse(miss: Miss, error: number): void {
    this.#replyError(miss.uniqueLow, miss.uniqueHigh, error);
  }

  /**
   * The kernel sends INTERRUPT once, for any signal that reaches the waiting thread, and goes on waiting. A program
   * with a timer does not expect EINTR from reading a file, nor SIGBUS from a page fault; so a read ends early only for
   * a thread that is about to die.
   */
  interrupt(uniqueLow: number, uniqueHigh: number): void {
    const pending = this.#pending.get(keyOf(uniqueLow, uniqueHigh));
    // The miss may still be in a worker's message. On EAGAIN the kernel sends the INTERRUPT again, if it still waits
    // then.
    if (pending === undefined) this.#replyError((uniqueLow | 1) >>> 0, uniqueHigh, errno.EAGAIN);
    else if (!pending.interrupted) {
      pending.interrupted = true;
      this.#watch(pending).catch(() => pending.settle(errno.EINTR));
    }
  }

  async #watch(pending: Pending): Promise<void> {
    const { uniqueLow, uniqueHigh, pid } = pending.miss;
    while (this.#pending.get(keyOf(uniqueLow, uniqueHigh)) === pending) {
      if (await isDying(pid)) return pending.settle(errno.EINTR);
      await new Promise((resolve) => setTimeout(resolve, fatalCheckMs).unref());
    }
  }

  failSlot(slot: number, error: number): void {
    for (const pending of [...this.#pending.values()]) if (pending.miss.slot === slot) pending.settle(error);
  }

  failAll(error: number): void {
    for (const pending of [...this.#pending.values()]) pending.settle(error);
  }

  /** Forgets them without an answer: the next daemon has the kernel send them again. */
  abandon(): void {
    for (const pending of [...this.#pending.values()]) pending.abandon();
  }

  /** The errno of the answer, or 0. */
  #replyData(miss: Miss, dataFd: number): number {
    const count = preadDescriptor(dataFd, this.#body, miss.sizeBytes, miss.dataOffset);
    if (count === miss.sizeBytes) {
      const sizeBytes = replyHeaderBytes + count;
      writeDescriptor(
        this.#options.fuseFd,
        this.#output,
        encodeReplyHeader(this.#view, sizeBytes, 0, miss.uniqueLow, miss.uniqueHigh),
      );
      return 0;
    }
    this.#options.onFailure(miss, new Error(`data file: read ${count} of ${miss.sizeBytes} bytes`));
    this.#replyError(miss.uniqueLow, miss.uniqueHigh, errno.EIO);
    return errno.EIO;
  }

  #replyError(uniqueLow: number, uniqueHigh: number, error: number): void {
    const sizeBytes = encodeReplyHeader(this.#view, replyHeaderBytes, error, uniqueLow, uniqueHigh);
    writeDescriptor(this.#options.fuseFd, this.#output, sizeBytes);
  }
}

function traceOf({ slot, inode, pid, dataOffset, sizeBytes }: Miss, error: number, waitedMs: number): ReplyTrace {
  return { slot, inode, pid, dataOffset, sizeBytes, error: errorName(error), waitedMs };
}

function keyOf(uniqueLow: number, uniqueHigh: number): string {
  return `${uniqueHigh}:${uniqueLow}`;
}

/** Whether SIGKILL is pending on a thread: the kernel turns any fatal signal of a process into that for each thread. */
async function isDying(pid: number): Promise<boolean> {
  if (pid === 0) return false;
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => undefined);
  if (status === undefined) return true;
  for (const field of ['SigPnd', 'ShdPnd']) {
    const mask = new RegExp(`^${field}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1];
    if (mask !== undefined && (BigInt(`0x${mask}`) & sigkillBit) !== 0n) return true;
  }
  return false;
}
