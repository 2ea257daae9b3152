import { describeError, type Log } from '../platform/log.ts';
import type { Digest } from '../registry/digest.ts';
import { evictLayers } from './eviction.ts';

export interface EvictorOptions {
  /** Directory of the layer stores. */
  readonly root: string;
  readonly limitBytes: number;
  isHeld(digest: Digest): boolean;
  readonly log: Pick<Log, 'info' | 'warn'>;
}

/** Debounces growth notifications of the stores. */
const growthDelayMs = 2000;

/** Keeps the stores within the cache's limit: one eviction at a time. */
export class Evictor {
  readonly #options: EvictorOptions;
  #evicting: Promise<void> = Promise.resolve();
  #isEvictionDue = false;
  #makingRoom: Promise<void> | undefined;
  #growthTimer: NodeJS.Timeout | undefined;

  constructor(options: EvictorOptions) {
    this.#options = options;
  }

  /** Debounces growth notifications: each layer being filled sends one every few seconds. */
  noteGrowth(): void {
    this.#growthTimer ??= setTimeout(() => {
      this.#growthTimer = undefined;
      this.evict();
    }, growthDelayMs).unref();
  }

  /** Queues an eviction, unless one is queued that has not started yet. */
  evict(): void {
    if (this.#isEvictionDue) return;
    this.#isEvictionDue = true;
    this.#evicting = this.#evicting.then(() => {
      this.#isEvictionDue = false;
      return this.#evictDownTo(this.#options.limitBytes);
    });
  }

  /** The disk is full: evicts every unused layer. */
  makeRoom(): Promise<void> {
    this.#makingRoom ??= this.#evicting.then(() => {
      this.#makingRoom = undefined;
      return this.#evictDownTo(0);
    });
    this.#evicting = this.#makingRoom;
    return this.#makingRoom;
  }

  /** Resolves when what is queued is done. No notification counts from now on. */
  async close(): Promise<void> {
    clearTimeout(this.#growthTimer);
    await this.#evicting;
  }

  async #evictDownTo(limitBytes: number): Promise<void> {
    const { root, log, isHeld } = this.#options;
    try {
      const evicted = await evictLayers(root, limitBytes, isHeld);
      if (evicted.length > 0) log.info({ layers: evicted.length }, 'unused layers deleted');
    } catch (error) {
      log.warn({ error: describeError(error) }, 'unused layers not deleted');
    }
  }
}
