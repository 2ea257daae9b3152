import { BlobLocator, type LocatedResponse } from './blob-locator.ts';
import { openRange, type RangeStream, type SatisfiedRange } from './blob-range.ts';
import { parseContentRange, parseUnsatisfiedRange } from './content-range.ts';
import { type Digest, digester } from './digest.ts';
import { RegistryError } from './error.ts';
import type { Reference } from './reference.ts';
import { isRetryableError } from './retry.ts';
import type { Sender } from './sender.ts';
import { headerText } from './transport.ts';

/** One blob, read by ranges over whatever servers have it. */
export interface BlobSource {
  readonly digest: Digest;
  /** The last `lengthBytes` bytes (all of a smaller blob), where they begin, and the blob's size. */
  fetchSuffix(lengthBytes: number, signal: AbortSignal): Promise<BlobSuffix>;
  /**
   * Bytes [start, end) in order, exactly; a body that stops early is taken up again from where it broke. The Buffers
   * are the network's own: use or copy each before asking for the next. Not verified.
   */
  fetchRange(start: number, end: number, signal: AbortSignal): AsyncIterable<Buffer>;
}

export interface BlobSuffix {
  readonly bytes: Buffer;
  readonly offset: number;
  readonly blobSizeBytes: number;
}

/** An answer under way, and who gives it. */
interface ServedRange {
  readonly stream: SatisfiedRange;
  readonly server: string;
}

/** Progress that makes up for a failure: a server may break off every body and still be read to the end. */
const progressBytes = 64 * 1024;
/** A whole blob in answer to a suffix is read if at most this much of it is not wanted. */
const wholeAnswerSlackBytes = 256 * 1024;

export class RegistryBlob implements BlobSource {
  readonly digest: Digest;
  readonly #sender: Sender;
  readonly #locator: BlobLocator;
  readonly #operation: string;
  #sizeBytes: number | undefined;

  constructor(sender: Sender, reference: Reference, digest: Digest, urls: readonly string[] = []) {
    this.digest = digest;
    this.#sender = sender;
    this.#operation = `fetch blob ${digest} of ${reference.registry}/${reference.repository}`;
    this.#locator = new BlobLocator(sender, reference, digest, urls, this.#operation);
  }

  async fetchSuffix(lengthBytes: number, signal: AbortSignal): Promise<BlobSuffix> {
    checkLength(lengthBytes);
    if (this.#sizeBytes !== undefined) return await this.#collectTail(lengthBytes, this.#sizeBytes, signal);
    const { response, stream, server } = await this.#ask({ suffixBytes: lengthBytes }, signal);
    switch (stream.kind) {
      case 'unsatisfied':
        // Some servers refuse a suffix longer than the blob, some any suffix (Azure): the size makes it a plain range.
        await response.body.drain();
        return await this.#collectTail(lengthBytes, stream.totalBytes ?? (await this.#findSize(signal)), signal);
      case 'whole': {
        const total = stream.totalBytes;
        if (total === undefined) return await this.#tailOfUnknown(stream, lengthBytes);
        this.#sizeBytes = total;
        if (total > lengthBytes + wholeAnswerSlackBytes) {
          // This server knows no suffix ranges; it may well know plain ones.
          response.body.destroy();
          return await this.#collectTail(lengthBytes, total, signal);
        }
        const offset = Math.max(0, total - lengthBytes);
        return { bytes: await this.#collect(offset, total, signal, { stream, server }), offset, blobSizeBytes: total };
      }
      case 'part': {
        const blobSizeBytes = stream.totalBytes ?? stream.end;
        this.#sizeBytes = blobSizeBytes;
        const bytes = await this.#collect(stream.start, blobSizeBytes, signal, { stream, server });
        return { bytes, offset: stream.start, blobSizeBytes };
      }
    }
  }

  async *fetchRange(start: number, end: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    this.#checkRange(start, end);
    yield* this.#read(start, end, signal, undefined);
  }

  /** The whole blob; after its last byte throws `digest-mismatch` if it was not the one asked for. */
  async *fetchWhole(signal: AbortSignal): AsyncGenerator<Buffer> {
    const hash = digester();
    let position = 0;
    const { response, stream, server } = await this.#ask('whole', signal);
    if (stream.kind === 'unsatisfied') throw this.#badRange('HTTP 416 to a request for the whole', response.status);
    const total = stream.totalBytes;
    const chunks = total === undefined ? stream.chunks(0, undefined) : this.#read(0, total, signal, { stream, server });
    for await (const chunk of chunks) {
      hash.update(chunk);
      position += chunk.length;
      yield chunk;
    }
    const actual = hash.digest();
    if (actual === this.digest) return;
    const detail = `${position} bytes came with digest ${actual}`;
    throw new RegistryError('digest-mismatch', detail, { operation: this.#operation, host: response.url.host });
  }

  /** [start, end) over as many requests as it takes. `begun`: a response that already has its beginning. */
  async *#read(
    start: number,
    end: number,
    signal: AbortSignal,
    begun: ServedRange | undefined,
  ): AsyncGenerator<Buffer> {
    const maxFailures = this.#sender.transport.retry.maxRetries;
    let position = start;
    let failures = 0;
    let sinceFailureBytes = 0;
    let current = begun;
    while (position < end) {
      // Has had its own retries: what fails here has failed.
      const { stream, server } = current ?? (await this.#open(position, end, signal));
      try {
        for await (const chunk of stream.chunks(position, end)) {
          position += chunk.length;
          sinceFailureBytes += chunk.length;
          yield chunk;
        }
        if (position === end) return;
        throw this.#shortBody(position, end);
      } catch (error) {
        signal.throwIfAborted();
        if (position === end && isRetryableError(error)) return;
        const hasProgressed = sinceFailureBytes >= progressBytes;
        if (hasProgressed) failures = 0;
        const isOtherThere = (!hasProgressed || !isRetryableError(error)) && this.#locator.avoid(server);
        failures++;
        if (!isOtherThere && (failures > maxFailures || !isRetryableError(error))) throw error;
        sinceFailureBytes = 0;
        current = undefined;
      }
      // Once is bad luck: the first resumption goes out at once.
      if (failures > 1) await this.#sender.transport.wait(failures - 1, signal);
    }
  }

  /** The beginning of a range, from the first server that does not say that there is no such range. */
  async #open(start: number, end: number, signal: AbortSignal): Promise<ServedRange> {
    for (;;) {
      const { response, stream, server } = await this.#ask({ start, end }, signal);
      if (stream.kind !== 'unsatisfied' && (stream.totalBytes ?? end) >= end) {
        this.#sizeBytes ??= stream.totalBytes;
        return { stream, server };
      }
      if (stream.kind === 'unsatisfied') await response.body.drain();
      else response.body.destroy();
      if (this.#locator.avoid(server)) continue;
      const detail =
        stream.totalBytes === undefined
          ? `there are no bytes ${start} to ${end}`
          : `bytes ${start} to ${end} are beyond its size of ${stream.totalBytes}`;
      throw this.#badRange(detail, response.status);
    }
  }

  /** One request, its answer's head read; repeated if that makes no sense or breaks off in the middle of a multipart's. */
  async #ask(
    wanted: { readonly suffixBytes: number } | { readonly start: number; readonly end: number } | 'whole',
    signal: AbortSignal,
  ): Promise<LocatedResponse & { readonly stream: RangeStream }> {
    const { transport } = this.#sender;
    for (let attempt = 1; ; attempt++) {
      const located = await this.#locator.request(wanted === 'whole' ? undefined : rangeHeader(wanted), signal);
      try {
        const range = wanted === 'whole' ? { start: 0, end: undefined } : wanted;
        return { ...located, stream: await openRange(located.response, range, this.#operation) };
      } catch (error) {
        signal.throwIfAborted();
        if (this.#locator.avoid(located.server)) continue;
        if (attempt > transport.retry.maxRetries || !isRetryableError(error)) throw error;
      }
      await transport.wait(attempt, signal);
    }
  }

  async #collectTail(lengthBytes: number, blobSizeBytes: number, signal: AbortSignal): Promise<BlobSuffix> {
    const offset = Math.max(0, blobSizeBytes - lengthBytes);
    return { bytes: await this.#collect(offset, blobSizeBytes, signal, undefined), offset, blobSizeBytes };
  }

  async #collect(start: number, end: number, signal: AbortSignal, begun: ServedRange | undefined): Promise<Buffer> {
    if (end === start) return Buffer.alloc(0);
    const chunks: Buffer[] = [];
    for await (const chunk of this.#read(start, end, signal, begun)) chunks.push(chunk);
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, end - start);
  }

  /** The tail of a whole blob whose size nobody tells: read to its end, the last bytes kept. */
  async #tailOfUnknown(stream: SatisfiedRange, lengthBytes: number): Promise<BlobSuffix> {
    const kept: Buffer[] = [];
    let keptBytes = 0;
    let blobSizeBytes = 0;
    for await (const chunk of stream.chunks(0, undefined)) {
      kept.push(chunk);
      keptBytes += chunk.length;
      blobSizeBytes += chunk.length;
      while (keptBytes - kept[0]!.length >= lengthBytes) keptBytes -= kept.shift()!.length;
    }
    const bytes = Buffer.concat(kept).subarray(-lengthBytes);
    this.#sizeBytes = blobSizeBytes;
    return { bytes, offset: blobSizeBytes - bytes.length, blobSizeBytes };
  }

  async #findSize(signal: AbortSignal): Promise<number> {
    const { response } = await this.#locator.request('bytes=0-0', signal);
    await response.body.drain();
    const total =
      response.status === 200
        ? Number(headerText(response.headers, 'content-length') ?? Number.NaN)
        : (parseContentRange(headerText(response.headers, 'content-range'))?.totalBytes ??
          parseUnsatisfiedRange(headerText(response.headers, 'content-range')));
    if (total === undefined || !Number.isSafeInteger(total)) {
      throw this.#badRange('the server takes no suffix range and does not tell the size', response.status);
    }
    this.#sizeBytes = total;
    return total;
  }

  #checkRange(start: number, end: number): void {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) {
      throw this.#badRange(`[${start}, ${end}) is not a range`, undefined);
    }
    if (this.#sizeBytes === undefined || end <= this.#sizeBytes) return;
    throw this.#badRange(`bytes ${start} to ${end} are beyond its size of ${this.#sizeBytes}`, undefined);
  }

  #badRange(detail: string, status: number | undefined): RegistryError {
    return new RegistryError('bad-range', detail, { operation: this.#operation, status });
  }

  #shortBody(position: number, end: number): RegistryError {
    return new RegistryError('unreachable', `the body ended ${end - position} bytes early`, {
      operation: this.#operation,
      remedy: '',
    });
  }
}

function rangeHeader(
  wanted: { readonly suffixBytes: number } | { readonly start: number; readonly end: number },
): string {
  return 'suffixBytes' in wanted ? `bytes=-${wanted.suffixBytes}` : `bytes=${wanted.start}-${wanted.end - 1}`;
}

function checkLength(lengthBytes: number): void {
  if (!Number.isSafeInteger(lengthBytes) || lengthBytes <= 0) {
    throw new RangeError(`a suffix of ${lengthBytes} bytes cannot be fetched`);
  }
}
