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
  /** The members back to back. */
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

/** One being compressed, one queued, one waiting to be written in order. Pages that are never touched take no memory. */
const slotsPerThread = 3;

/**
 * Compressor threads, and the shared buffers ("slots") through which they receive and return bytes without a copy. One pool serves
 * all layers of an image: threads and slots are made when the first batch needs them and then stay. Whoever holds slots must be
 * able to give one back without another, else two of them could wait for each other.
 */
export class CompressorPool {
  readonly #options: PoolOptions;
  readonly #threadLimit: number;
  readonly #threads: Thread[] = [];
  readonly #waiting = new Map<number, Waiting>();
  readonly #free: number[];
  readonly #wanting: ((slot: number) => void)[] = [];
  #setup: PoolSetup | undefined;
  /** For batches compressed on the calling thread. */
  #compressor: MemberCompressor | undefined;
  #failure: Error | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#threadLimit = options.threads ?? availableParallelism();
    this.#free = Array.from({ length: slotsPerThread * this.#threadLimit }, (_, slot) => slot);
  }

  /** A slot, if one is free and nobody waits for it. */
  tryAcquire(): number | undefined {
    return this.#free.pop();
  }

  /** A slot, once one is free. */
  acquire(): Promise<number> {
    const slot = this.tryAcquire();
    return slot === undefined ? new Promise((resolve) => this.#wanting.push(resolve)) : Promise.resolve(slot);
  }

  /** Of a slot that no batch is in any more. */
  release(slot: number): void {
    const next = this.#wanting.shift();
    if (next === undefined) this.#free.push(slot);
    else next(slot);
  }

  /** The caller fills it before `compress`. */
  rawBuffer(slot: number): Buffer {
    return Buffer.from(this.#slots[slot]!.raw);
  }

  get #slots(): PoolSetup['slots'] {
    this.#setup ??= setUp(this.#options, slotsPerThread * this.#threadLimit);
    return this.#setup.slots;
  }

  /** Of a slot that the caller holds; the result is valid until it is released. */
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
    const { codec, level } = this.#options;
    const { raw, compressed } = this.#slots[batch.slot]!;
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
    const bytes = Buffer.from(this.#slots[slot]!.compressed, 0, sizeBytes);
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

function setUp({ codec, level, slotSizeBytes, maxMembersPerBatch }: PoolOptions, slotCount: number): PoolSetup {
  const compressedBytes = boundOf(slotSizeBytes) + 256 * maxMembersPerBatch;
  const slots = Array.from({ length: slotCount }, () => ({
    raw: new SharedArrayBuffer(slotSizeBytes),
    compressed: new SharedArrayBuffer(compressedBytes),
  }));
  return { codec, level, slots };
}
