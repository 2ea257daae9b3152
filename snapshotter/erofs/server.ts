import { closeSync, fstatSync } from 'node:fs';
import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import {
  errno,
  MS_NODEV,
  MS_RDONLY,
  mountFilesystem,
  openEvent,
  SyscallError,
  signalEvent,
  unmountFilesystem,
  writeDescriptor,
} from '../syscalls.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { ErofsError } from './error.ts';
import { encodeResponse, responseSizeBytes } from './events.ts';
import { markFile, openGroup, unmarkFile } from './fanotify-calls.ts';
import { control, type EventWorkerData, type MessageFromEventWorker, type MessageToEventWorker } from './message.ts';

export interface ErofsLayer {
  readonly slot: number;
  readonly table: InodeTable;
  readonly present: SharedArrayBuffer;
  /** Open on the data file since before `addLayer`: the kernel never asks about descriptors older than the mark. */
  readonly dataFd: number;
  readonly dataPath: string;
  /** The EROFS image of the table (image.ts), whose extra device is the data file. */
  readonly imagePath: string;
}

export interface ErofsReader {
  /** Makes the range present in the data file, or rejects: the reader then gets EIO. */
  ensure(dataOffset: number, sizeBytes: number, signal: AbortSignal): Promise<void>;
}

export interface ErofsServerOptions {
  /** Called for what cannot be answered to anybody: a failed fill (the reader got EIO), an event of no layer. */
  readonly onError?: (error: unknown) => void;
  /** A group taken over from a daemon before this one; a new one is opened otherwise. */
  readonly groupFd?: number;
}

interface Mounted {
  readonly layer: ErofsLayer;
  readonly reader: ErofsReader;
  readonly path: string;
  readonly dataInode: number;
  readonly fills: AbortController;
  guarded: boolean;
}

/**
 * EROFS mounts whose holes are filled as they are read: one directory per layer under `directory`, one fanotify group and
 * one worker thread for all of them. Owns the group, the worker and the mounts.
 */
export class ErofsServer {
  readonly directory: string;
  readonly groupFd: number;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #state = new Int32Array(new SharedArrayBuffer(control.words * 4));
  readonly #wakeFd: number;
  readonly #onError: (error: unknown) => void;
  readonly #mounted = new Map<number, Mounted>();
  readonly #removals = new Map<number, () => void>();
  readonly #fills = new Set<Promise<void>>();
  readonly #response = Buffer.alloc(responseSizeBytes);
  #closing: Promise<void> | undefined;

  constructor(directory: string, options: ErofsServerOptions = {}) {
    this.directory = directory;
    this.#onError = options.onError ?? (() => {});
    this.groupFd = options.groupFd ?? openGuardGroup(directory);
    this.#wakeFd = openEvent();
    const workerData: EventWorkerData = {
      groupFd: this.groupFd,
      wakeFd: this.#wakeFd,
      control: this.#state.buffer as SharedArrayBuffer,
    };
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData, name: 'erofs' });
    this.#worker.on('message', (message: MessageFromEventWorker) => this.#receive(message));
    this.#worker.on('error', this.#onError);
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
  }

  /** Mounts the layer read-only; resolves to the directory. Holes are guarded before the mount can be reached. */
  async addLayer(layer: ErofsLayer, reader: ErofsReader): Promise<string> {
    const path = join(this.directory, String(layer.slot));
    if (this.#closing) throw new ErofsError('closed', path, 'the server is closed');
    const dataInode = fstatSync(layer.dataFd).ino;
    await mkdir(path, { recursive: true });
    this.#post({
      kind: 'add-layer',
      slot: layer.slot,
      dataInode,
      table: layer.table.shared,
      present: layer.present,
    });
    this.#mounted.set(layer.slot, {
      layer,
      reader,
      path,
      dataInode,
      fills: new AbortController(),
      guarded: true,
    });
    try {
      markFile(this.groupFd, layer.dataPath);
      // mount(8) would put a loop device between, which reads the file without asking.
      const device = layer.table.dataSizeBytes > 0 ? `device=${layer.dataPath}` : '';
      await mountFilesystem(layer.imagePath, path, 'erofs', MS_RDONLY | MS_NODEV, device);
    } catch (error) {
      await this.#forget(layer.slot);
      await rmdir(path).catch(() => {});
      throw new ErofsError('mount-failed', path, `mounting ${layer.imagePath} failed: ${String(error)}`, error);
    }
    return path;
  }

  /** All bytes are there: the kernel asks no more, and this process is out of the layer's read path. */
  releaseGuard(slot: number): void {
    const mounted = this.#mounted.get(slot);
    if (!mounted?.guarded) return;
    unmarkFile(this.groupFd, mounted.layer.dataPath);
    mounted.guarded = false;
  }

  /**
   * Unmounts. A mount that is in use and has holes stays, guarded, and this rejects with code `busy`: detached, it would
   * outlive the guard and its holes would read as zeros.
   */
  async removeLayer(slot: number): Promise<void> {
    const mounted = this.#mounted.get(slot);
    if (mounted === undefined) return;
    try {
      await unmountFilesystem(mounted.path);
    } catch (error) {
      const absent = error instanceof SyscallError && (error.code === 'EINVAL' || error.code === 'ENOENT');
      if (!absent) throw new ErofsError('busy', mounted.path, `unmounting failed: ${String(error)}`, error);
    }
    await this.#forget(slot);
    await rmdir(mounted.path).catch(() => {});
  }

  /** Unmounts what can be unmounted and ends the worker; resolves to the slots that stayed mounted because in use. */
  async close(): Promise<readonly number[]> {
    const busy: number[] = [];
    this.#closing ??= (async () => {
      for (const slot of [...this.#mounted.keys()]) {
        try {
          await this.removeLayer(slot);
        } catch (error) {
          busy.push(slot);
          this.#onError(error);
        }
      }
      Atomics.store(this.#state, control.stopping, 1);
      signalEvent(this.#wakeFd);
      await this.#exited;
      // Each answers its reader through the group: a reader left unanswered would go on with zeros once it closes.
      await Promise.allSettled(this.#fills);
      closeSync(this.#wakeFd);
      closeSync(this.groupFd);
    })();
    await this.#closing;
    return busy;
  }

  async #forget(slot: number): Promise<void> {
    const mounted = this.#mounted.get(slot);
    if (mounted === undefined) return;
    mounted.fills.abort();
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
    this.#worker.postMessage(message);
    Atomics.add(this.#state, control.posted, 1);
    signalEvent(this.#wakeFd);
  }

  #receive(message: MessageFromEventWorker): void {
    switch (message.kind) {
      case 'miss':
        this.#startFill(message.slot, message.fd, message.offset, message.sizeBytes);
        return;
      case 'removed':
        this.#removals.get(message.slot)?.();
        this.#removals.delete(message.slot);
        return;
      case 'failed':
        this.#onError(message.error);
    }
  }

  #startFill(slot: number, fd: number, offset: number, sizeBytes: number): void {
    const fill = this.#fill(slot, fd, offset, sizeBytes).finally(() => this.#fills.delete(fill));
    this.#fills.add(fill);
  }

  async #fill(slot: number, fd: number, offset: number, sizeBytes: number): Promise<void> {
    const mounted = this.#mounted.get(slot);
    let denial: number | undefined = errno.EIO;
    try {
      if (mounted !== undefined) {
        await mounted.reader.ensure(offset, sizeBytes, mounted.fills.signal);
        denial = undefined;
      }
    } catch (error) {
      this.#onError(error);
    } finally {
      writeDescriptor(this.groupFd, encodeResponse(this.#response, fd, denial), responseSizeBytes);
      closeSync(fd);
    }
  }
}

function openGuardGroup(directory: string): number {
  try {
    return openGroup();
  } catch (error) {
    throw new ErofsError('unsupported', directory, 'this kernel gives no pre-content fanotify group', error);
  }
}
