import { write } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { setReadahead } from '../platform/mountinfo.ts';
import { openEvent, signalEvent } from '../platform/syscalls.ts';
import { allocateFirstReads } from '../store/first-reads.ts';
import { defaultMissLimitMs, defaultReadaheadKib, type LayerReader } from '../store/layer-reader.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { ROOT_INODE } from '../tree/lookup.ts';
import { forever, type Validity } from './attributes.ts';
import {
  abortConnection,
  closeDescriptor,
  findMount,
  mountFuse,
  openFuseDevice,
  prepareMountpoint,
  unmountFuse,
} from './device.ts';
import type { Miss } from './dispatch.ts';
import { FuseError } from './error.ts';
import { hasFlag, initFlag, type Negotiated } from './init.ts';
import { control, type MessageFromWorker, type MessageToWorker, type WorkerData } from './message.ts';
import { encodeInvalEntry, encodeInvalInode, encodeResend } from './notification.ts';
import { PendingReads } from './pending-reads.ts';
import type { ReplyTrace, RequestTrace } from './trace.ts';
import { errno, rootSlot } from './wire.ts';

export interface FuseOptions {
  /** Threads that answer the kernel. Default 1: a second one speeds up only cold sequential reads, and takes 21 MiB. */
  readonly workers?: number;
  /** Default: practically forever, since layers never change. */
  readonly validity?: Partial<Validity>;
  readonly readaheadKib?: number;
  /** Large reads are answered without copying them through this process. Default true. */
  readonly spliceReplies?: boolean;
  /** Limit on a missed read; then it fails with EIO. Default 300,000. */
  readonly missLimitMs?: number;
  /** A read that failed (`miss`, of that layer), or a defect in a worker. For a log. */
  onError?(error: unknown, miss?: Miss, layer?: FuseLayer): void;
  /** Every request, and every late reply to a missed read. Costs a message each, so it is off unless given. */
  readonly onTrace?: ((trace: RequestTrace | ReplyTrace, layer: FuseLayer | undefined) => void) | undefined;
  /** The connection ended before `close` was called: it was unmounted or aborted from outside. */
  onDisconnect?(): void;
}

export interface FuseLayer {
  /** 1 to 2^32 - 1, never used before on this connection. Names the layer's directory. */
  readonly slot: number;
  /** The layer's digest, for logs. */
  readonly digest?: string;
  readonly table: InodeTable;
  readonly present: SharedArrayBuffer;
  /** Stays open until `removeLayer` has returned. */
  readonly dataFd: number;
}

/** What a restarted daemon needs of a connection besides its descriptor. Plain data, to be kept in a file. */
export interface FuseConnection {
  readonly mountpoint: string;
  /** st_dev of the mount, `major:minor`: identifies the connection when the path no longer does. */
  readonly device: string;
  readonly negotiated: Negotiated;
}

const initLimitMs = 10_000;
const workerEndLimitMs = 5000;

const writeAsync = promisify(write);

/** One FUSE connection and its mount, with a directory for each layer. */
export class FuseServer {
  readonly mountpoint: string;
  readonly #fuseFd: number;
  readonly #options: FuseOptions;
  readonly #control = new Int32Array(new SharedArrayBuffer(control.words * 4));
  readonly #workers: ServingWorker[] = [];
  readonly #layers = new Map<number, { readonly layer: FuseLayer; readonly reader: LayerReader }>();
  readonly #usedSlots = new Set<number>();
  readonly #pending: PendingReads;
  readonly #initialized = Promise.withResolvers<Negotiated>();
  #connection: FuseConnection | undefined;
  #hits = 0;
  #lastCounted = 0;
  #isReleasing = false;
  #closing: Promise<void> | undefined;

  /** Mounts at `path` (created if missing; a dead mount of an earlier daemon is detached first) and begins to serve. */
  static async mount(path: string, options: FuseOptions = {}): Promise<FuseServer> {
    const mountpoint = await prepareMountpoint(path);
    const server = new FuseServer(openFuseDevice(mountpoint), mountpoint, options);
    try {
      await mountFuse(server.#fuseFd, mountpoint);
      server.#startWorkers();
      const negotiated = await server.#waitForInit();
      const device = findMount(mountpoint)?.device;
      if (device === undefined) throw new FuseError('mount-failed', mountpoint, 'unmounted while it was being set up');
      server.#connection = { mountpoint, device, negotiated };
      setReadahead(device, options.readaheadKib ?? defaultReadaheadKib);
      return server;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /**
   * Takes over the connection of an earlier daemon by its descriptor. Nothing is answered before `resume`: first add
   * the layers under their old slots. Until then readers wait.
   */
  static adopt(fuseFd: number, connection: FuseConnection, options: FuseOptions = {}): FuseServer {
    const server = new FuseServer(fuseFd, connection.mountpoint, options);
    server.#connection = connection;
    return server;
  }

  private constructor(fuseFd: number, mountpoint: string, options: FuseOptions) {
    this.mountpoint = mountpoint;
    this.#fuseFd = fuseFd;
    this.#options = options;
    this.#initialized.promise.catch(() => {});
    this.#pending = new PendingReads({
      fuseFd,
      limitMs: options.missLimitMs ?? defaultMissLimitMs,
      onFailure: (miss, error) => options.onError?.(error, miss, this.#layers.get(miss.slot)?.layer),
      onReply: options.onTrace && ((trace) => this.#trace(trace)),
    });
  }

  /** For the keeper, which holds the connection over a restart. */
  get fd(): number {
    return this.#fuseFd;
  }

  get connection(): FuseConnection {
    if (this.#connection === undefined) throw new FuseError('init-failed', this.mountpoint, 'not initialized');
    return this.#connection;
  }

  /** Reads of present content since the start. Those that the kernel's page cache answers are not seen here. */
  get readHits(): number {
    const counted = Atomics.load(this.#control, control.hits) >>> 0;
    this.#hits += (counted - this.#lastCounted) >>> 0;
    this.#lastCounted = counted;
    return this.#hits;
  }

  /** Reads that currently wait for data. */
  get pendingReads(): number {
    return this.#pending.count;
  }

  /**
   * After `adopt` and `addLayer`: begins to serve, and has the kernel resend what the earlier daemon left unanswered.
   */
  async resume(): Promise<void> {
    this.#assertOpen();
    if (this.#workers.length > 0) return;
    this.#startWorkers();
    for (const { layer, reader } of this.#layers.values()) this.#postLayer(layer, reader);
    this.setReadahead(this.#options.readaheadKib ?? defaultReadaheadKib);
    if (hasFlag(this.connection.negotiated.flags, initFlag.HAS_RESEND)) await this.#notify(encodeResend());
    // The listing may name layers of the earlier daemon that were not added again.
    await this.#notify(encodeInvalInode(rootSlot, ROOT_INODE));
  }

  /** For files opened from now on. */
  setReadahead(kib: number): void {
    if (this.#closing === undefined) setReadahead(this.connection.device, kib);
  }

  /** Shows a layer as a directory; returns its path, good for overlay's `lowerdir=` until `removeLayer`. */
  async addLayer(layer: FuseLayer, reader: LayerReader): Promise<string> {
    this.#assertOpen();
    const { slot } = layer;
    if (!Number.isInteger(slot) || slot < 1 || slot >= 2 ** 32) throw new RangeError(`not a layer slot: ${slot}`);
    if (this.#usedSlots.has(slot)) throw new FuseError('slot-used', this.mountpoint, `slot ${slot} was used before`);
    this.#usedSlots.add(slot);
    this.#layers.set(slot, { layer, reader });
    if (this.#workers.length > 0) {
      this.#postLayer(layer, reader);
      await this.#notify(encodeInvalInode(rootSlot, ROOT_INODE));
    }
    return join(this.mountpoint, String(slot));
  }

  /** When this resolves, the layer's descriptor is no longer used; files that are still open give ESTALE. */
  async removeLayer(slot: number): Promise<void> {
    if (!this.#layers.has(slot)) return;
    await Promise.all(this.#workers.map((worker) => worker.removeLayer(slot)));
    this.#layers.delete(slot);
    this.#pending.failSlot(slot, errno.ESTALE);
    if (this.#closing !== undefined) return;
    await this.#notify(encodeInvalEntry(rootSlot, ROOT_INODE, String(slot)));
    await this.#notify(encodeInvalInode(rootSlot, ROOT_INODE));
  }

  /** Unmounts and ends. Waiting reads fail with EIO; those that still use the mount get ENOTCONN from then on. */
  close(): Promise<void> {
    this.#closing ??= this.#close(true);
    return this.#closing;
  }

  /**
   * Ends without unmounting and without answering waiting reads, for a restart while another process holds the
   * connection's descriptor. If none does, the kernel aborts the connection.
   */
  release(): Promise<void> {
    this.#isReleasing = this.#closing === undefined;
    this.#closing ??= this.#close(false);
    return this.#closing;
  }

  async #close(unmount: boolean): Promise<void> {
    this.#initialized.reject(new FuseError('closed', this.mountpoint, 'closed'));
    try {
      if (unmount) {
        this.#pending.failAll(errno.EIO);
        await unmountFuse(this.mountpoint);
        if (this.#connection !== undefined) await abortConnection(this.#connection.device);
      }
    } finally {
      Atomics.store(this.#control, control.stopping, 1);
      await Promise.all(this.#workers.map((worker) => worker.end()));
      if (!unmount) this.#pending.abandon();
      else this.#pending.failAll(errno.EIO);
      closeDescriptor(this.#fuseFd);
    }
  }

  #startWorkers(): void {
    const data = {
      fuseFd: this.#fuseFd,
      control: this.#control.buffer as SharedArrayBuffer,
      validity: { ...forever, ...this.#options.validity },
      spliceReplies: this.#options.spliceReplies ?? true,
      trace: this.#options.onTrace !== undefined,
    };
    for (let index = 0; index < (this.#options.workers ?? 1); index++)
      this.#workers.push(
        new ServingWorker(
          data,
          (message) => this.#receive(message),
          (error) => this.#failClosed(error),
        ),
      );
  }

  async #waitForInit(): Promise<Negotiated> {
    const timer = setTimeout(() => {
      this.#initialized.reject(
        new FuseError('init-failed', this.mountpoint, `the kernel did not initialize it within ${initLimitMs} ms`),
      );
    }, initLimitMs);
    try {
      return await this.#initialized.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #receive(message: MessageFromWorker): void {
    switch (message.kind) {
      case 'miss':
        this.#serveMiss(message.miss);
        break;
      case 'interrupt':
        this.#pending.interrupt(message.uniqueLow, message.uniqueHigh);
        break;
      case 'first-read':
        this.#layers.get(message.slot)?.reader.onFirstRead?.(message.dataOffset, message.sizeBytes);
        break;
      case 'negotiated':
        this.#initialized.resolve(message.negotiated);
        break;
      case 'failed':
        this.#options.onError?.(message.error);
        break;
      case 'disconnected':
        this.#initialized.reject(new FuseError('init-failed', this.mountpoint, 'the kernel refused the protocol'));
        if (this.#closing === undefined) this.#options.onDisconnect?.();
        break;
      case 'traced':
        this.#trace(message.trace);
        break;
      case 'removed':
        break;
    }
  }

  #serveMiss(miss: Miss): void {
    const found = this.#layers.get(miss.slot);
    if (this.#closing === undefined && found !== undefined) this.#pending.serve(miss, found.reader, found.layer.dataFd);
    else if (!this.#isReleasing) this.#pending.refuse(miss, found === undefined ? errno.ESTALE : errno.EIO);
  }

  #trace(trace: RequestTrace | ReplyTrace): void {
    this.#options.onTrace?.(trace, this.#layers.get(trace.slot)?.layer);
  }

  /** A worker has died: ends the connection rather than let its users hang. */
  #failClosed(error: unknown): void {
    this.#options.onError?.(error);
    if (this.#closing !== undefined) return;
    this.#options.onDisconnect?.();
    this.close().catch((closeError) => this.#options.onError?.(closeError));
  }

  #postLayer(layer: FuseLayer, reader: LayerReader): void {
    const message: MessageToWorker = {
      kind: 'add-layer',
      slot: layer.slot,
      table: layer.table.shared,
      present: layer.present,
      dataFd: layer.dataFd,
      seen: reader.onFirstRead === undefined ? undefined : allocateFirstReads(layer.table.dataSizeBytes),
    };
    for (const worker of this.#workers) worker.post(message);
  }

  /**
   * On a thread of libuv's pool: the write may wait for an inode lock whose holder waits for a reply of this process.
   */
  async #notify(message: Buffer): Promise<void> {
    await writeAsync(this.#fuseFd, message).catch((error: NodeJS.ErrnoException) => {
      // ENOENT, ENOTDIR: no such entry is cached. ENODEV, ENOTCONN: the connection is gone, and its caches with it.
      if (!['ENOENT', 'ENODEV', 'ENOTCONN', 'ENOTDIR'].includes(error.code ?? '')) this.#options.onError?.(error);
    });
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new FuseError('closed', this.mountpoint, 'the server was closed');
  }
}

type SharedWorkerData = Omit<WorkerData, 'wakeFd'>;

/** A worker thread, its wake-up descriptor, and the removals that it has to confirm. */
class ServingWorker {
  readonly #thread: Worker;
  readonly #wakeFd: number;
  readonly #control: Int32Array;
  readonly #removals = new Map<number, () => void>();
  readonly #exited = Promise.withResolvers<void>();
  #isExited = false;

  constructor(data: SharedWorkerData, receive: (message: MessageFromWorker) => void, crash: (error: unknown) => void) {
    this.#control = new Int32Array(data.control);
    this.#wakeFd = openEvent();
    this.#thread = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: { ...data, wakeFd: this.#wakeFd } satisfies WorkerData,
      name: 'fuse',
    });
    this.#thread.on('message', (message: MessageFromWorker) => {
      if (message.kind === 'removed') this.#removals.get(message.slot)?.();
      receive(message);
    });
    this.#thread.on('error', crash);
    this.#thread.on('exit', () => {
      this.#isExited = true;
      for (const removed of this.#removals.values()) removed();
      closeDescriptor(this.#wakeFd);
      this.#exited.resolve();
    });
  }

  post(message: MessageToWorker): void {
    if (this.#isExited) return;
    this.#thread.postMessage(message);
    Atomics.add(this.#control, control.posted, 1);
    signalEvent(this.#wakeFd);
  }

  async removeLayer(slot: number): Promise<void> {
    if (this.#isExited) return;
    const removed = Promise.withResolvers<void>();
    this.#removals.set(slot, removed.resolve);
    this.post({ kind: 'remove-layer', slot });
    await removed.promise;
    this.#removals.delete(slot);
  }

  /** `control.stopping` must be set. */
  async end(): Promise<void> {
    if (this.#isExited) return;
    signalEvent(this.#wakeFd);
    const timer = setTimeout(() => void this.#thread.terminate(), workerEndLimitMs);
    await this.#exited.promise;
    clearTimeout(timer);
  }
}
