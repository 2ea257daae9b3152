import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { boundOf, type MemberCodec, MemberCompressor } from './compress.ts';
import { type Batch, type BatchReply, compressBatch } from './compress-batch.ts';

export interface PoolSetup {
  readonly codec: MemberCodec;
  readonly level: number;
  readonly slots: readonly { readonly raw: SharedArrayBuffer; readonly compressed: SharedArrayBuffer }[];
}

export interface CompressedBatch {
  /** The members back to back; valid until the slot is reused. */
  readonly bytes: Buffer;
  readonly sizes: readonly number[];
  readonly digests: readonly string[];
}

export interface PoolOptions {
  readonly codec: MemberCodec;
  readonly level: number;
  /** Maximum size of a batch. */
  readonly slotSizeBytes: number;
  readonly maxMembersPerBatch: number;
  /** Default: one per processor. */
  readonly threads?: number | undefined;
}

interface Waiting {
  readonly resolve: (batch: CompressedBatch) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  pending: number;
}

/** gzip -6 compresses this many bytes in less time than a thread takes to start. */
const inlineLimitBytes = 256 << 10;

/** Compressor threads, and the shared buffers through which they receive and return bytes without a copy. */
export class CompressorPool {
  readonly slotCount: number;
  readonly #threads: Thread[] = [];
  readonly #threadLimit: number;
  readonly #setup: PoolSetup;
  readonly #waiting = new Map<number, Waiting>();
  /** For batches compressed on the calling thread. */
  #compressor: MemberCompressor | undefined;
  #failure: Error | undefined;

  constructor({ codec, level, slotSizeBytes, maxMembersPerBatch, threads = availableParallelism() }: PoolOptions) {
    // Three batches per thread: one being compressed, one queued, one waiting to be written in order. Pages that are
    // never touched take no memory.
    this.slotCount = 3 * threads;
    const compressedBytes = boundOf(slotSizeBytes) + 256 * maxMembersPerBatch;
    this.#setup = {
      codec,
      level,
      slots: Array.from({ length: this.slotCount }, () => ({
        raw: new SharedArrayBuffer(slotSizeBytes),
        compressed: new SharedArrayBuffer(compressedBytes),
      })),
    };
    this.#threadLimit = threads;
  }

  /** The caller fills it before `compress`. */
  rawBuffer(slot: number): Buffer {
    return Buffer.from(this.#setup.slots[slot]!.raw);
  }

  compress(batch: Batch): Promise<CompressedBatch> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#waiting.set(batch.slot, { resolve, reject });
      if (this.#threads.length === 0 && isSmall(batch)) return this.#compressInline(batch);
      const thread = this.#idlestThread();
      thread.pending++;
      thread.worker.postMessage(batch);
    });
  }

  async close(): Promise<void> {
    this.#fail(new Error('the compressor pool is closed'));
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  /** Most layers are small, and starting a thread takes 50 ms. */
  #compressInline(batch: Batch): void {
    const { codec, level, slots } = this.#setup;
    const { raw, compressed } = slots[batch.slot]!;
    this.#compressor ??= new MemberCompressor(codec, level);
    this.#deliver(compressBatch(this.#compressor, batch, Buffer.from(raw), Buffer.from(compressed)));
  }

  /** Starts a thread only if all others are busy. */
  #idlestThread(): Thread {
    const idlest = this.#threads.toSorted((one, other) => one.pending - other.pending)[0];
    if (idlest !== undefined && (idlest.pending === 0 || this.#threads.length === this.#threadLimit)) return idlest;
    const started = this.#startThread();
    this.#threads.push(started);
    return started;
  }

  #startThread(): Thread {
    const worker = new Worker(new URL('./compress-worker.ts', import.meta.url), { workerData: this.#setup });
    const thread: Thread = { worker, pending: 0 };
    worker.on('message', (reply: BatchReply) => {
      thread.pending--;
      this.#deliver(reply);
    });
    worker.on('error', (error) => this.#fail(error as Error));
    worker.on('exit', () => this.#fail(new Error('a compressor thread ended early')));
    return thread;
  }

  #deliver({ slot, compressedSizes, digests }: BatchReply): void {
    const waiting = this.#waiting.get(slot);
    this.#waiting.delete(slot);
    const sizeBytes = compressedSizes.reduce((sum, size) => sum + size, 0);
    const bytes = Buffer.from(this.#setup.slots[slot]!.compressed, 0, sizeBytes);
    waiting?.resolve({ bytes, sizes: compressedSizes, digests });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}

function isSmall({ memberSizes }: Batch): boolean {
  return memberSizes.reduce((sum, size) => sum + size, 0) <= inlineLimitBytes;
}
