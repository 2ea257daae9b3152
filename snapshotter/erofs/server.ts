import { closeSync, fstatSync } from 'node:fs';
import { mkdir, open, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { errno, isWritable, openEvent, replaceDescriptor, signalEvent, writeDescriptor } from '../platform/syscalls.ts';
import { defaultMissLimitMs, demandRange, type LayerReader } from '../store/layer-reader.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { ErofsError } from './error.ts';
import { encodeResponse, responseSizeBytes } from './events.ts';
import { markFile, openGroup, unmarkFile } from './fanotify-calls.ts';
import {
  control,
  type EventTrace,
  type EventWorkerData,
  type MessageFromEventWorker,
  type MessageToEventWorker,
  type VerdictTrace,
} from './message.ts';
import { isMounted, isSuperblockAlive, listErofsMounts, mountImage, readDirectly, unmountImage } from './mount.ts';

export interface ErofsLayer {
  readonly slot: number;
  /** The layer's digest, for logs. */
  readonly digest?: string;
  readonly table: InodeTable;
  readonly present: SharedArrayBuffer;
  /**
   * Open on the data file since before `addLayer`: the kernel never asks about descriptors older than the mark. Where the
   * mark is older, `addLayer` puts another open file in its place.
   */
  readonly dataFd: number;
  readonly dataPath: string;
  /** The EROFS image of the table (image.ts), whose extra device is the data file. */
  readonly imagePath: string;
  /** Every byte has been there for long: what filling left in the page cache is no reason to read through it. */
  readonly isComplete?: boolean;
}

export interface ErofsServerOptions {
  /** A read that failed with EIO (`miss`, of that layer), or anything else that has no caller to reject. For a log. */
  readonly onError?: (error: unknown, miss?: Pick<EventTrace, 'offset' | 'sizeBytes'>, layer?: ErofsLayer) => void;
  /** Every event, with the layer it is of, and every verdict that had to wait. Off unless given: it costs a message each. */
  readonly onTrace?: ((trace: EventTrace | VerdictTrace, layer: ErofsLayer | undefined) => void) | undefined;
  /** Nobody answers events any more, so reads of holes wait: end the process, and let the next one take over. */
  readonly onDeath?: (error: unknown) => void;
  /** A group taken over from a daemon before this one; a new one is opened otherwise. */
  readonly groupFd?: number | undefined;
  /** A read whose data does not come within this fails with EIO. Default 300,000. */
  readonly missLimitMs?: number;
  readonly readaheadKib?: number;
  /** How long a layer is read through the page cache of its data file after it is complete. Default 60,000. */
  readonly directDelayMs?: number;
}

interface Mounted {
  readonly layer: ErofsLayer;
  readonly reader: LayerReader;
  readonly path: string;
  readonly dataInode: number;
  readonly fills: AbortController;
  /** Names of all superblocks that may still read the data file: overlays keep one alive after its mount is gone. */
  superblocks: readonly string[];
  guarded: boolean;
  isDirect: boolean;
  directTimer: NodeJS.Timeout | undefined;
}

const defaultReadaheadKib = 512;
/** A container that starts while its layers fill finds what it reads next in memory. */
const defaultDirectDelayMs = 60_000;
const passingUseMs = 1000;
const passingUseStepMs = 20;
const releaseGraceMs = 2000;

/**
 * EROFS mounts whose holes are filled as they are read: one directory per layer under `directory`, one fanotify group and
 * one worker thread for all of them. Owns the group, the worker and the mounts.
 */
export class ErofsServer {
  /** As the kernel names it: without symbolic links. */
  readonly directory: string;
  readonly groupFd: number;
  /** Resolves when events are answered. With a group taken over, open no data file before: it may be marked. */
  readonly ready: Promise<void>;
  readonly #ready = Promise.withResolvers<void>();
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #state = new Int32Array(new SharedArrayBuffer(control.words * 4));
  readonly #wakeFd: number;
  readonly #options: ErofsServerOptions;
  readonly #mounted = new Map<number, Mounted>();
  readonly #removals = new Map<number, () => void>();
  readonly #descriptors = new Map<number, (fd: number) => void>();
  readonly #fills = new Set<Promise<void>>();
  readonly #response = Buffer.alloc(responseSizeBytes);
  #closing: Promise<readonly number[]> | undefined;
  /** Its descriptors are closed: their numbers may be another file's. */
  #isEnded = false;

  /** With `groupFd` the layers of the daemon before are expected: add them under their slots, then call `resume`. */
  constructor(directory: string, options: ErofsServerOptions = {}) {
    this.directory = directory;
    this.#options = options;
    this.groupFd = options.groupFd ?? openGuardGroup(directory);
    if (options.groupFd !== undefined) this.#state[control.adopting] = 1;
    this.#wakeFd = openEvent();
    const workerData: EventWorkerData = {
      groupFd: this.groupFd,
      wakeFd: this.#wakeFd,
      control: this.#state.buffer as SharedArrayBuffer,
      trace: options.onTrace !== undefined,
    };
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData,
      name: 'erofs',
      // The kernel opens the events' descriptors.
      trackUnmanagedFds: false,
    });
    this.#worker.on('message', (message: MessageFromEventWorker) => this.#receive(message));
    this.#worker.on('error', (error) => this.#options.onDeath?.(error));
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.ready = Promise.race([this.#ready.promise, this.#exited]);
  }

  /**
   * Mounts the layer read-only; resolves to the directory. Holes are guarded before the mount can be reached. A mount
   * that is there already, by a daemon before this one, is taken over if `superblocks` names what reads the data file.
   */
  async addLayer(layer: ErofsLayer, reader: LayerReader, superblocks?: readonly string[]): Promise<string> {
    const path = join(this.directory, String(layer.slot));
    if (this.#closing) throw new ErofsError('closed', path, 'the server is closed');
    await mkdir(path, { recursive: true });
    const mounted: Mounted = {
      layer,
      reader,
      path,
      dataInode: fstatSync(layer.dataFd).ino,
      fills: new AbortController(),
      superblocks: superblocks ?? [],
      guarded: true,
      isDirect: false,
      directTimer: undefined,
    };
    this.#mounted.set(layer.slot, mounted);
    this.#post({
      kind: 'add-layer',
      slot: layer.slot,
      dataInode: mounted.dataInode,
      table: layer.table.shared,
      present: layer.present,
    });
    try {
      markFile(this.groupFd, layer.dataPath);
      if (this.#options.groupFd !== undefined) await this.#silence(layer, mounted.dataInode);
      // Under a new slot only a daemon can have left a mount that died before it noted the slot.
      while (superblocks === undefined && isMounted(path)) await unmountImage(path);
      if (!isMounted(path)) await this.#mount(mounted);
    } catch (error) {
      await this.#forget(mounted);
      await rmdir(path).catch(() => {});
      throw new ErofsError('mount-failed', path, `mounting ${layer.imagePath} failed: ${String(error)}`, error);
    }
    return path;
  }

  /** What a daemon after this one has to name to `addLayer`. */
  superblocks(slot: number): readonly string[] {
    return this.#mounted.get(slot)?.superblocks ?? [];
  }

  /** Whether a layer was added under it. */
  has(slot: number): boolean {
    return this.#mounted.has(slot);
  }

  /**
   * The layers of the daemon before are all added. What else it left mounted goes, unless something reads it, and reads of
   * a file of no layer are denied from now on.
   */
  async resume(): Promise<void> {
    for (const path of listErofsMounts()) {
      if (dirname(path) !== this.directory || this.#mounted.has(Number(basename(path)))) continue;
      await unmountImage(path).catch((error) => this.#report(error));
      await rmdir(path).catch(() => {});
    }
    Atomics.store(this.#state, control.adopting, 0);
    signalEvent(this.#wakeFd);
  }

  /** All bytes are there: the kernel asks no more, and this process is out of the layer's read path. */
  releaseGuard(slot: number): void {
    const mounted = this.#mounted.get(slot);
    if (!mounted?.guarded || this.#isEnded) return;
    unmarkFile(this.groupFd, mounted.layer.dataPath);
    mounted.guarded = false;
    if (mounted.isDirect) return;
    const delayMs = this.#options.directDelayMs ?? defaultDirectDelayMs;
    mounted.directTimer = setTimeout(() => {
      readDirectly(mounted.path, mounted.superblocks).catch((error) => this.#report(error));
    }, delayMs).unref();
  }

  /**
   * Unmounts. A layer that is in use and has holes stays, mounted and guarded, and this rejects with code `busy`: its
   * holes would read as zeros to whoever still has it. An overlay on top counts, which umount(2) does not see.
   */
  async removeLayer(slot: number): Promise<void> {
    const mounted = this.#mounted.get(slot);
    if (mounted === undefined) return;
    if (this.#isEnded) throw new ErofsError('closed', mounted.path, 'the server is closed');
    try {
      await unmountImage(mounted.path);
    } catch (error) {
      throw new ErofsError('busy', mounted.path, `unmounting failed: ${String(error)}`, error);
    }
    // A container that starts just now has a copy of every mount until it has its own root: that passes.
    for (let waitedMs = 0; ; waitedMs += passingUseStepMs) {
      mounted.superblocks = mounted.superblocks.filter(isSuperblockAlive);
      if (!mounted.guarded || mounted.superblocks.length === 0 || waitedMs >= passingUseMs) break;
      await delay(passingUseStepMs);
    }
    if (mounted.guarded && mounted.superblocks.length > 0) {
      await this.#mount(mounted);
      throw new ErofsError('busy', mounted.path, 'something mounted on top of it still uses it');
    }
    await this.#forget(mounted);
    await rmdir(mounted.path).catch(() => {});
  }

  /**
   * Unmounts what can be unmounted and ends; resolves to the slots that stayed because in use. Unless somebody else holds
   * the group, holes of those read as zeros from now on.
   */
  close(): Promise<readonly number[]> {
    this.#closing ??= (async () => {
      const busy: number[] = [];
      for (const slot of [...this.#mounted.keys()]) {
        try {
          await this.removeLayer(slot);
        } catch (error) {
          busy.push(slot);
          this.#report(error);
        }
      }
      await this.#end();
      return busy;
    })();
    return this.#closing;
  }

  /** Ends and leaves the mounts to who holds the group: reads of holes wait for the next daemon. */
  async release(): Promise<void> {
    this.#closing ??= this.#end().then(() => [...this.#mounted.keys()]);
    await this.#closing;
  }

  async #end(): Promise<void> {
    Atomics.store(this.#state, control.stopping, 1);
    signalEvent(this.#wakeFd);
    await this.#exited;
    // Each answers its reader through the group: a reader left unanswered would go on with zeros once it closes.
    await Promise.race([Promise.allSettled(this.#fills), delay(releaseGraceMs, undefined, { ref: false })]);
    for (const { fills, directTimer } of this.#mounted.values()) {
      fills.abort();
      clearTimeout(directTimer);
    }
    await Promise.allSettled(this.#fills);
    this.#isEnded = true;
    closeSync(this.#wakeFd);
    closeSync(this.groupFd);
  }

  /**
   * A data file that was marked by the daemon before asks about our own writes too, which then wait for the worker: for
   * ever, once that has ended. So the layer's descriptor becomes one that came with an event.
   */
  async #silence({ dataFd, dataPath, table }: ErofsLayer, dataInode: number): Promise<void> {
    if (table.dataSizeBytes === 0) return;
    const kept = new Promise<number>((resolve) => this.#descriptors.set(dataInode, resolve));
    this.#post({ kind: 'want-descriptor', dataInode });
    const asking = await open(dataPath);
    try {
      const fd = await Promise.race([asking.read(Buffer.alloc(1), 0, 1, 0).then(() => kept), this.#exited]);
      if (fd === undefined) return;
      // Groups of earlier versions gave descriptors for reading only.
      if (isWritable(fd)) replaceDescriptor(dataFd, fd);
      closeSync(fd);
    } finally {
      this.#descriptors.delete(dataInode);
      await asking.close();
    }
  }

  async #mount(mounted: Mounted): Promise<void> {
    const { imagePath, dataPath, table } = mounted.layer;
    const device = table.dataSizeBytes > 0 ? dataPath : undefined;
    const readaheadKib = this.#options.readaheadKib ?? defaultReadaheadKib;
    mounted.isDirect = mounted.layer.isComplete === true;
    const { path, isDirect } = mounted;
    const superblocks = await mountImage({ imagePath, path, device, readaheadKib, isDirect });
    mounted.superblocks = [...mounted.superblocks, ...superblocks];
  }

  async #forget(mounted: Mounted): Promise<void> {
    const { slot } = mounted.layer;
    mounted.fills.abort();
    clearTimeout(mounted.directTimer);
    try {
      this.releaseGuard(slot);
    } catch {
      // The mark was never set, or went with the file.
    }
    const removed = new Promise<void>((resolve) => this.#removals.set(slot, resolve));
    this.#post({ kind: 'remove-layer', slot, dataInode: mounted.dataInode });
    await Promise.race([removed, this.#exited]);
    this.#mounted.delete(slot);
  }

  #post(message: MessageToEventWorker): void {
    if (this.#isEnded) return;
    this.#worker.postMessage(message);
    Atomics.add(this.#state, control.posted, 1);
    signalEvent(this.#wakeFd);
  }

  #receive(message: MessageFromEventWorker): void {
    switch (message.kind) {
      case 'ready':
        this.#ready.resolve();
        return;
      case 'miss':
        this.#startFill(message.slot, message.fd, message.offset, message.sizeBytes);
        return;
      case 'descriptor':
        this.#descriptors.get(message.dataInode)?.(message.fd);
        return;
      case 'removed':
        this.#removals.get(message.slot)?.();
        this.#removals.delete(message.slot);
        return;
      case 'traced':
        this.#trace(message.trace);
        return;
      case 'failed':
        this.#report(message.error);
    }
  }

  #startFill(slot: number, fd: number, offset: number, sizeBytes: number): void {
    const fill = this.#fill(slot, fd, offset, sizeBytes).finally(() => this.#fills.delete(fill));
    this.#fills.add(fill);
  }

  async #fill(slot: number, fd: number, offset: number, sizeBytes: number): Promise<void> {
    const startedMs = performance.now();
    const mounted = this.#mounted.get(slot);
    let denial: number | undefined = errno.EIO;
    try {
      if (mounted !== undefined) {
        await this.#ensure(mounted, offset, sizeBytes);
        denial = undefined;
      }
    } catch (error) {
      this.#options.onError?.(error, { offset, sizeBytes }, mounted?.layer);
    } finally {
      writeDescriptor(this.groupFd, encodeResponse(this.#response, fd, denial), responseSizeBytes);
      closeSync(fd);
      const error = denial === undefined ? undefined : 'EIO';
      this.#trace({ slot, offset, sizeBytes, error, waitedMs: performance.now() - startedMs });
    }
  }

  async #ensure({ reader, fills }: Mounted, offset: number, sizeBytes: number): Promise<void> {
    const removal = new Error('the layer is being taken away');
    if (fills.signal.aborted) throw removal;
    const demand = demandRange(reader, offset, sizeBytes, this.#options.missLimitMs ?? defaultMissLimitMs);
    const stop = (): void => demand.cancel(removal);
    fills.signal.addEventListener('abort', stop);
    await demand.done.finally(() => fills.signal.removeEventListener('abort', stop));
  }

  #trace(trace: EventTrace | VerdictTrace): void {
    if (this.#options.onTrace === undefined) return;
    this.#options.onTrace(trace, trace.slot === undefined ? undefined : this.#mounted.get(trace.slot)?.layer);
  }

  #report(error: unknown): void {
    this.#options.onError?.(error);
  }
}

function openGuardGroup(directory: string): number {
  try {
    return openGroup();
  } catch (error) {
    throw new ErofsError('unsupported', directory, 'this kernel gives no pre-content fanotify group', error);
  }
}
