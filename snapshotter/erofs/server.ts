import { closeSync, fstatSync } from 'node:fs';
import { mkdir, open, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { setReadahead } from '../platform/mountinfo.ts';
import { errno, isWritable, openEvent, replaceDescriptor, signalEvent, writeDescriptor } from '../platform/syscalls.ts';
import { defaultMissLimitMs, defaultReadaheadKib, demandRange, type LayerReader } from '../store/layer-reader.ts';
import { ErofsError } from './error.ts';
import { encodeResponse, responseSizeBytes } from './events.ts';
import { markFile, openGuardGroup, unmarkFile } from './fanotify-calls.ts';
import type { ErofsLayer, ErofsServerOptions } from './layer.ts';
import {
  control,
  type EventTrace,
  type EventWorkerData,
  type MessageFromEventWorker,
  type MessageToEventWorker,
  type VerdictTrace,
} from './message.ts';
import { isMounted, isSuperblockAlive, listErofsMounts, mountImage, readDirectly, unmountImage } from './mount.ts';

export type { ErofsLayer, ErofsServerOptions } from './layer.ts';

/** The mark on a data file, which may be mounted several times: one layer, each time with other attributes. */
interface Guard {
  /** As the worker knows it; its slot may have been removed since. */
  readonly layer: ErofsLayer;
  readonly reader: LayerReader;
  readonly dataInode: number;
  readonly fills: AbortController;
  readonly slots: Set<number>;
  isRaised: boolean;
}

interface Mounted {
  readonly layer: ErofsLayer;
  readonly guard: Guard;
  readonly path: string;
  /** Names of all superblocks that may read the data file: an overlay keeps one alive after its unmount. */
  superblocks: readonly string[];
  isDirect: boolean;
  directTimer: NodeJS.Timeout | undefined;
}

/** Filling leaves content in the page cache, where a container that starts meanwhile finds it. */
const defaultDirectDelayMs = 60_000;
const passingUseMs = 1000;
const passingUseStepMs = 20;
const releaseGraceMs = 2000;

/**
 * EROFS mounts whose holes are filled as they are read: one directory per layer under `directory`, one fanotify group
 * and one worker thread for all of them. Owns the group, the worker and the mounts.
 */
export class ErofsServer {
  /** Without symbolic links, as in the kernel's mount table. */
  readonly directory: string;
  readonly groupFd: number;
  /** Resolves when events are answered. With a group taken over, data files may be marked: open none before. */
  readonly ready: Promise<void>;
  readonly #ready = Promise.withResolvers<void>();
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #state = new Int32Array(new SharedArrayBuffer(control.words * 4));
  readonly #wakeFd: number;
  readonly #options: ErofsServerOptions;
  readonly #mounted = new Map<number, Mounted>();
  readonly #guards = new Map<number, Guard>();
  /** By the slot that the worker names, for as long as the guard lives. */
  readonly #guardOfSlot = new Map<number, Guard>();
  readonly #removals = new Map<number, () => void>();
  readonly #descriptors = new Map<number, (fd: number) => void>();
  readonly #fills = new Set<Promise<void>>();
  readonly #response = Buffer.alloc(responseSizeBytes);
  #closing: Promise<readonly number[]> | undefined;
  /** The descriptors are closed, and their numbers may have been reused. */
  #isEnded = false;

  /** With `groupFd`, add the layers of the earlier daemon under their slots, then call `resume`. */
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
      // The kernel opens the descriptors of events.
      trackUnmanagedFds: false,
    });
    this.#worker.on('message', (message: MessageFromEventWorker) => this.#receive(message));
    this.#worker.on('error', (error) => this.#options.onDeath?.(error));
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.ready = Promise.race([this.#ready.promise, this.#exited]);
  }

  /**
   * Mounts the layer read-only; resolves to the directory. The data file is marked before the mount is visible. An
   * existing mount of an earlier daemon is taken over if `superblocks` names what reads its data file.
   */
  async addLayer(layer: ErofsLayer, reader: LayerReader, superblocks?: readonly string[]): Promise<string> {
    const path = join(this.directory, String(layer.slot));
    if (this.#closing) throw new ErofsError('closed', path, 'the server is closed');
    const isNewDirectory = (await mkdir(path, { recursive: true })) !== undefined;
    const { guard, isNew } = this.#guardFor(layer, reader);
    const mounted: Mounted = {
      layer,
      guard,
      path,
      superblocks: superblocks ?? [],
      isDirect: false,
      directTimer: undefined,
    };
    this.#mounted.set(layer.slot, mounted);
    try {
      if (guard.isRaised) markFile(this.groupFd, layer.dataPath);
      if (isNew && this.#options.groupFd !== undefined) await this.#silence(layer, guard.dataInode);
      // A mount under a new slot was left by a daemon that died before it recorded the slot.
      while (!isNewDirectory && superblocks === undefined && isMounted(path)) await unmountImage(path);
      if (isNewDirectory || !isMounted(path)) await this.#mount(mounted);
    } catch (error) {
      await this.#forget(mounted);
      await rmdir(path).catch(() => {});
      throw new ErofsError('mount-failed', path, `mounting ${layer.imagePath} failed: ${String(error)}`, error);
    }
    return path;
  }

  /** What the next daemon has to pass to `addLayer`. */
  superblocks(slot: number): readonly string[] {
    return this.#mounted.get(slot)?.superblocks ?? [];
  }

  /** Whether a layer has this slot. */
  has(slot: number): boolean {
    return this.#mounted.has(slot);
  }

  /**
   * To be called when all layers of the earlier daemon are added. Unmounts what else it left, unless in use; from now
   * on reads of a data file of no layer are denied.
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

  /** For a complete layer: reads of its mounts raise no events any more, so this process is out of their read path. */
  releaseGuard(slot: number): void {
    const mounted = this.#mounted.get(slot);
    if (!mounted?.guard.isRaised || this.#isEnded) return;
    unmarkFile(this.groupFd, mounted.layer.dataPath);
    mounted.guard.isRaised = false;
    for (const one of mounted.guard.slots) this.#readDirectlySoon(this.#mounted.get(one));
  }

  /** Of the slot's mount, unless its data file is read directly, or other processes mounted at the same time. */
  setReadahead(slot: number, kib: number): void {
    const mounted = this.#mounted.get(slot);
    if (mounted === undefined || mounted.isDirect || mounted.superblocks.length !== 1) return;
    setReadahead(mounted.superblocks[0]!, kib);
  }

  /**
   * Unmounts. Rejects with code `busy` if the layer has holes and is in use; it stays mounted and guarded, since its
   * holes would read as zeros. An overlay on it counts as use, although umount(2) succeeds then.
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
    // A container that is being started has a copy of every mount until pivot_root(2): that passes.
    for (let waitedMs = 0; ; waitedMs += passingUseStepMs) {
      mounted.superblocks = mounted.superblocks.filter(isSuperblockAlive);
      if (!mounted.guard.isRaised || mounted.superblocks.length === 0 || waitedMs >= passingUseMs) break;
      await delay(passingUseStepMs);
    }
    if (mounted.guard.isRaised && mounted.superblocks.length > 0) {
      await this.#mount(mounted);
      throw new ErofsError('busy', mounted.path, 'something mounted on top of it still uses it');
    }
    await this.#forget(mounted);
    await rmdir(mounted.path).catch(() => {});
  }

  /**
   * Unmounts what is not in use and ends; resolves to the slots that stayed. Unless another process holds the group,
   * their holes read as zeros from now on.
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

  /** Ends without unmounting. While another process holds the group, reads of holes wait for the next daemon. */
  async release(): Promise<void> {
    this.#closing ??= this.#end().then(() => [...this.#mounted.keys()]);
    await this.#closing;
  }

  async #end(): Promise<void> {
    Atomics.store(this.#state, control.stopping, 1);
    signalEvent(this.#wakeFd);
    await this.#exited;
    // Each fill responds through the group; closing that first would let its reader through, with zeros.
    await Promise.race([Promise.allSettled(this.#fills), delay(releaseGraceMs, undefined, { ref: false })]);
    for (const { guard, directTimer } of this.#mounted.values()) {
      guard.fills.abort();
      clearTimeout(directTimer);
    }
    await Promise.allSettled(this.#fills);
    this.#isEnded = true;
    closeSync(this.#wakeFd);
    closeSync(this.groupFd);
  }

  /**
   * Where an earlier daemon marked the data file before it was opened, this process's own writes raise events too, and
   * would wait for ever once the worker has ended. So the store's descriptor is replaced by one of an event, which
   * raises none.
   */
  async #silence({ dataFd, dataPath, table }: ErofsLayer, dataInode: number): Promise<void> {
    if (table.dataSizeBytes === 0) return;
    const kept = new Promise<number>((resolve) => this.#descriptors.set(dataInode, resolve));
    this.#post({ kind: 'want-descriptor', dataInode });
    const asking = await open(dataPath);
    try {
      const fd = await Promise.race([asking.read(Buffer.alloc(1), 0, 1, 0).then(() => kept), this.#exited]);
      if (fd === undefined) return;
      // Groups of earlier versions opened descriptors read-only.
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

  #guardFor(layer: ErofsLayer, reader: LayerReader): { guard: Guard; isNew: boolean } {
    const dataInode = fstatSync(layer.dataFd).ino;
    const found = this.#guards.get(dataInode);
    found?.slots.add(layer.slot);
    if (found !== undefined) return { guard: found, isNew: false };
    const slots = new Set([layer.slot]);
    const guard = { layer, reader, dataInode, fills: new AbortController(), slots, isRaised: true };
    this.#guards.set(dataInode, guard);
    this.#guardOfSlot.set(layer.slot, guard);
    const { slot, table, present } = layer;
    const records = reader.onFirstRead !== undefined;
    this.#post({ kind: 'add-layer', slot, dataInode, table: table.shared, present, records });
    return { guard, isNew: true };
  }

  #readDirectlySoon(mounted: Mounted | undefined): void {
    if (mounted === undefined || mounted.isDirect) return;
    const delayMs = this.#options.directDelayMs ?? defaultDirectDelayMs;
    mounted.directTimer = setTimeout(() => {
      readDirectly(mounted.path, mounted.superblocks).catch((error) => this.#report(error));
    }, delayMs).unref();
  }

  async #forget({ layer, guard, directTimer }: Mounted): Promise<void> {
    clearTimeout(directTimer);
    if (guard.slots.size > 1) {
      guard.slots.delete(layer.slot);
      this.#mounted.delete(layer.slot);
      return;
    }
    guard.fills.abort();
    try {
      this.releaseGuard(layer.slot);
    } catch {
      // The mark was never set, or the file is gone.
    }
    // From here on another mount of the file raises a guard of its own.
    this.#guards.delete(guard.dataInode);
    const { slot } = guard.layer;
    const removed = new Promise<void>((resolve) => this.#removals.set(slot, resolve));
    this.#post({ kind: 'remove-layer', slot, dataInode: guard.dataInode });
    await Promise.race([removed, this.#exited]);
    clearTimeout(this.#mounted.get(layer.slot)?.directTimer);
    this.#mounted.delete(layer.slot);
    this.#guardOfSlot.delete(slot);
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
      case 'first-read':
        this.#guardOfSlot.get(message.slot)?.reader.onFirstRead?.(message.dataOffset, message.sizeBytes);
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
    const guard = this.#guardOfSlot.get(slot);
    let denial: number | undefined = errno.EIO;
    try {
      if (guard !== undefined) {
        await this.#ensure(guard, offset, sizeBytes);
        denial = undefined;
      }
    } catch (error) {
      this.#options.onError?.(error, { offset, sizeBytes }, guard?.layer);
    } finally {
      writeDescriptor(this.groupFd, encodeResponse(this.#response, fd, denial), responseSizeBytes);
      closeSync(fd);
      const error = denial === undefined ? undefined : 'EIO';
      this.#trace({ slot, offset, sizeBytes, error, waitedMs: performance.now() - startedMs });
    }
  }

  async #ensure({ reader, fills }: Guard, offset: number, sizeBytes: number): Promise<void> {
    const removal = new Error('the layer is being taken away');
    if (fills.signal.aborted) throw removal;
    const demand = demandRange(reader, offset, sizeBytes, this.#options.missLimitMs ?? defaultMissLimitMs);
    const stop = (): void => demand.cancel(removal);
    fills.signal.addEventListener('abort', stop);
    await demand.done.finally(() => fills.signal.removeEventListener('abort', stop));
  }

  #trace(trace: EventTrace | VerdictTrace): void {
    if (this.#options.onTrace === undefined) return;
    this.#options.onTrace(trace, trace.slot === undefined ? undefined : this.#guardOfSlot.get(trace.slot)?.layer);
  }

  #report(error: unknown): void {
    this.#options.onError?.(error);
  }
}
