import { Worker } from 'node:worker_threads';
import { writeImageFile } from '../erofs/image-file.ts';
import type { Footer } from '../estargz/footer.ts';
import type { BuildOptions } from '../tree/build.ts';
import { type InodeTable, viewInodeTable } from '../tree/inode-table.ts';
import { type BuiltLayer, buildLayer } from './built-layer.ts';
import { decodeError, type Job, type MessageFromBuilder, type MessageToBuilder, type Results } from './message.ts';
import type { LayerMemory } from './tree-memory.ts';

export interface BuildRequest {
  /** [footer.tocOffset, footer.tocEnd) of the blob, compressed; or its packed TOC. */
  readonly toc: Uint8Array;
  readonly footer: Footer;
  readonly opaqueXattr: BuildOptions['opaqueXattr'];
  readonly isLowest?: boolean;
  readonly memory: LayerMemory;
}

/** Turns TOCs into trees and trees into EROFS images. What has the same `lane`, an image, is done in order; lanes take turns. */
export interface LayerBuilder {
  /** Rejects with FormatError. */
  build(request: BuildRequest, lane: string): Promise<BuiltLayer>;
  /** See erofs/image-file.ts. */
  writeImage(directory: string, table: InodeTable, view: string, lane: string): Promise<string>;
}

/** On the caller's thread. */
export const inlineBuilder: LayerBuilder = {
  build: ({ toc, footer, ...options }) => buildLayer(toc, footer, options),
  writeImage: (directory, table, view) => writeImageFile(directory, table, view),
};

interface PendingJob {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

/**
 * On a thread of its own, so that containerd's calls and the reads of running containers do not wait for it. A thread that
 * dies fails its jobs, and the next job starts another.
 */
export class BuilderThread implements LayerBuilder {
  readonly #pending = new Map<number, PendingJob>();
  #jobs = 0;
  #worker: Worker | undefined;
  #isClosed = false;

  async build({ toc, footer, opaqueXattr, isLowest = false, memory }: BuildRequest, lane: string): Promise<BuiltLayer> {
    const job = { kind: 'build', toc, footer, opaqueXattr, isLowest, memory: memory.shared } as const;
    const { tree, table, ...digests } = await this.#run<Results['build']>(job, lane);
    return { tree: { ...tree, table: viewInodeTable(table) }, ...digests };
  }

  writeImage(directory: string, { shared }: InodeTable, view: string, lane: string): Promise<string> {
    return this.#run<Results['image']>({ kind: 'image', directory, table: shared, view }, lane);
  }

  /** Jobs that are not done fail. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #run<Result>(job: Job, lane: string): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const id = this.#jobs++;
    if (this.#isClosed) reject(new Error('the building thread is closed'));
    else {
      this.#worker ??= this.#start();
      const worker = this.#worker;
      this.#pending.set(id, { resolve, reject });
      worker.ref();
      worker.postMessage({ id, lane, job } satisfies MessageToBuilder);
    }
    return promise;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { name: 'builder' });
    let cause: unknown;
    worker.on('message', (message: MessageFromBuilder) => this.#settle(worker, message));
    worker.on('error', (error) => {
      cause = error;
    });
    // Not on 'error': until it has exited, the thread may charge memory.
    worker.on('exit', (code) => {
      this.#worker = undefined;
      const died = new Error('the building thread ended', { cause: cause ?? `exit code ${code}` });
      for (const { reject } of this.#pending.values()) reject(died);
      this.#pending.clear();
    });
    return worker;
  }

  #settle(worker: Worker, message: MessageFromBuilder): void {
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    // Between jobs the thread does not keep the process alive.
    if (this.#pending.size === 0) worker.unref();
    if ('error' in message) pending?.reject(decodeError(message.error));
    else pending?.resolve(message.result as never);
  }
}
