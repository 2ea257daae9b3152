import type { Dispatcher } from 'undici';

/** Bytes buffered for a slow consumer before reading from the socket pauses. */
const highWaterBytes = 512 * 1024;
/** An unwanted body up to this size is read to its end, so that its connection can be reused. */
const drainLimitBytes = 64 * 1024;

/**
 * A response body: undici's Buffers without a copy, with back-pressure. Exactly one of these must happen, or the connection
 * stays occupied: iterate it, `drain` it, or `destroy` it.
 */
export class ResponseBody implements AsyncIterable<Buffer>, AsyncIterator<Buffer> {
  /** Bytes received so far. */
  receivedBytes = 0;
  readonly #controller: Dispatcher.DispatchController;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #ended = false;
  #error: Error | undefined;
  /** All bytes have arrived, but the reader has not been told yet (see Connections.exchange). */
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

  /** The rest of the body; undefined if it is longer than `limitBytes`. */
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

  /** Discards the rest, keeping the connection if the rest is short. Never rejects. */
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

  /** Discards the rest, and closes the connection if there is a rest. */
  destroy(): void {
    this.#draining = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (this.#complete || this.#error !== undefined) return;
    this.#destroyed = true;
    this.#wakeReader();
    this.#controller.abort(new Error('the rest of the response is not wanted'));
  }

  /** True after `destroy` aborted the response, whose end is then not a failure. */
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

  /** All bytes have arrived; `end` tells the reader. */
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
