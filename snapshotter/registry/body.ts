import type { Dispatcher } from 'undici';

/** Bytes kept for a slow consumer before the socket is left unread. */
const highWaterBytes = 512 * 1024;
/** A body nobody wants is read to its end if it is short, so that its connection can be used again. */
const drainLimitBytes = 64 * 1024;

/**
 * A response's body: undici's Buffers, passed on without a copy, with back-pressure. Iterate it once, or `drain` it, or
 * `destroy` it; one of the three must happen, or the connection stays taken.
 */
export class ResponseBody implements AsyncIterable<Buffer>, AsyncIterator<Buffer> {
  /** Bytes received so far. */
  receivedBytes = 0;
  readonly #controller: Dispatcher.DispatchController;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #ended = false;
  #error: Error | undefined;
  /** All bytes are here, though the reader has not been told yet (see Connections.exchange). */
  #complete = false;
  #draining = false;
  #paused = false;
  #destroyed = false;
  #wake: (() => void) | undefined;

  constructor(controller: Dispatcher.DispatchController) {
    this.#controller = controller;
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer> {
    return this;
  }

  async next(): Promise<IteratorResult<Buffer>> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        this.#queuedBytes -= chunk.length;
        if (this.#paused && this.#queuedBytes < highWaterBytes / 2) {
          this.#paused = false;
          this.#controller.resume();
        }
        return { done: false, value: chunk };
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async return(): Promise<IteratorResult<Buffer>> {
    this.destroy();
    return { done: true, value: undefined };
  }

  /** Everything that is left, at most `limitBytes`; undefined if there is more. */
  async readAll(limitBytes: number): Promise<Buffer | undefined> {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    for await (const chunk of this) {
      sizeBytes += chunk.length;
      if (sizeBytes > limitBytes) return undefined;
      chunks.push(chunk);
    }
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, sizeBytes);
  }

  /** Throws the rest away and keeps the connection if the rest is short; resolves, and never fails, when that is done. */
  async drain(): Promise<void> {
    this.#draining = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (this.#ended || this.#error !== undefined) return;
    if (this.receivedBytes > drainLimitBytes) return this.destroy();
    if (this.#paused) {
      this.#paused = false;
      this.#controller.resume();
    }
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Lets go of the rest, and of the connection if there is a rest. */
  destroy(): void {
    this.#draining = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (this.#complete || this.#error !== undefined) return;
    this.#destroyed = true;
    this.#wakeReader();
    this.#controller.abort(new Error('the rest of the response is not wanted'));
  }

  /** True after `destroy` cut the response off: its end is then no failure. */
  get isUnwanted(): boolean {
    return this.#destroyed;
  }

  /** For the exchange that owns this body. */
  push(chunk: Buffer): void {
    this.receivedBytes += chunk.length;
    if (this.#draining) {
      if (this.receivedBytes > drainLimitBytes) this.destroy();
      return;
    }
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    if (this.#queuedBytes > highWaterBytes && !this.#paused) {
      this.#paused = true;
      this.#controller.pause();
    }
    this.#wakeReader();
  }

  /** Nothing more will come. The reader learns of it by `end`. */
  complete(): void {
    this.#complete = true;
  }

  end(): void {
    this.#ended = true;
    this.#wakeReader();
  }

  fail(error: Error): void {
    if (this.#ended || this.#error !== undefined) return;
    this.#error = error;
    this.#wakeReader();
  }

  #wakeReader(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
