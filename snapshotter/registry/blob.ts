import { BlobLocator, type LocatedResponse } from './blob-locator.ts';
import { openRange, type RangeStream, type SatisfiedRange } from './blob-range.ts';
import type { HttpResponse } from './connections.ts';
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
   * are the network's own: use or copy each before asking for the next. Not verified. `onServer` is told who gives what
   * comes from then on, before the first byte and whenever another server takes over.
   */
  fetchRange(
    start: number,
    end: number,
    signal: AbortSignal,
    onServer?: (server: string) => void,
  ): AsyncIterable<Buffer>;
  /**
   * Tells that bytes from these servers failed their digest. One server alone is passed over from now on while others are
   * left, by this blob and, for a while, by all. Of several at least one is to blame, and asking once more may tell
   * which. Returns whether asking again can bring other bytes; false after every server was to blame, and then all are
   * asked again.
   */
  distrust(servers: ReadonlySet<string>): boolean;
}

export interface BlobSuffix {
  readonly bytes: Buffer;
  readonly offset: number;
  readonly blobSizeBytes: number;
  /** Who gave the bytes; for `distrust`. */
  readonly servers: ReadonlySet<string>;
}

/** An answer under way, and who gives it. */
interface ServedRange {
  readonly stream: SatisfiedRange;
  readonly server: string;
}

/** Progress that makes up for a failure: a server may break off every body and still be read to the end. */
const progressBytes = 64 * 1024;
/** A server that caps its ranges gives at least this much at a time; with less, requests would be without bound. */
const minPartBytes = 4 * 1024;
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
    const asked = await this.#askForSuffix(lengthBytes, signal);
    const stream = asked?.stream;
    if (stream?.kind === 'part') {
      const { server } = asked!;
      const blobSizeBytes = stream.totalBytes ?? stream.end;
      this.#sizeBytes = blobSizeBytes;
      return await this.#collectSuffix(stream.start, blobSizeBytes, signal, { stream, server });
    }
    if (stream?.kind === 'whole') {
      return await this.#suffixOfWhole(asked!.response, { stream, server: asked!.server }, lengthBytes, signal);
    }
    // Some servers refuse a suffix longer than the blob, some any suffix (Azure): the size makes it a plain range.
    await asked?.response.body.drain();
    const totalBytes = stream?.totalBytes ?? (await this.#findSize(signal));
    if (totalBytes !== undefined) return await this.#collectTail(lengthBytes, totalBytes, signal);
    const whole = await this.#ask('whole', signal);
    if (whole.stream.kind !== 'whole') throw this.#badRange('no server tells its size', whole.response.status);
    return await this.#suffixOfWhole(
      whole.response,
      { stream: whole.stream, server: whole.server },
      lengthBytes,
      signal,
    );
  }

  async *fetchRange(
    start: number,
    end: number,
    signal: AbortSignal,
    onServer?: (server: string) => void,
  ): AsyncGenerator<Buffer> {
    this.#checkRange(start, end);
    yield* this.#read(start, end, signal, undefined, onServer);
  }

  distrust(servers: ReadonlySet<string>): boolean {
    if (servers.size !== 1) return servers.size > 0;
    const [server] = servers;
    this.#sender.distrust(server!, this.#operation);
    return this.#locator.avoid(server!);
  }

  /** The whole blob; after its last byte throws `digest-mismatch` if it was not the one asked for. */
  async *fetchWhole(signal: AbortSignal): AsyncGenerator<Buffer> {
    const hash = digester();
    let position = 0;
    const servers = new Set<string>();
    const { response, stream, server } = await this.#ask('whole', signal);
    if (stream.kind === 'unsatisfied') throw this.#badRange('HTTP 416 to a request for the whole', response.status);
    servers.add(server);
    const total = stream.totalBytes;
    const chunks =
      total === undefined
        ? stream.chunks(0, undefined)
        : this.#read(0, total, signal, { stream, server }, (name) => servers.add(name));
    for await (const chunk of chunks) {
      hash.update(chunk);
      position += chunk.length;
      yield chunk;
    }
    const actual = hash.digest();
    if (actual === this.digest) return;
    this.distrust(servers);
    const coding = headerText(response.headers, 'content-encoding');
    const detail = `${position} bytes came with digest ${actual}${coding === undefined ? '' : `, as content-encoding ${coding}`}`;
    throw new RegistryError('digest-mismatch', detail, {
      operation: this.#operation,
      host: [...servers].join(', '),
    });
  }

  /** [start, end) over as many requests as it takes. `begun`: a response that already has its beginning. */
  async *#read(
    start: number,
    end: number,
    signal: AbortSignal,
    begun: ServedRange | undefined,
    onServer: (server: string) => void = () => {},
  ): AsyncGenerator<Buffer> {
    const maxFailures = this.#sender.transport.retry.maxRetries;
    let position = start;
    let failures = 0;
    let sinceFailureBytes = 0;
    let current = begun;
    while (position < end) {
      // Has had its own retries: what fails here has failed.
      const { stream, server } = current ?? (await this.#open(position, end, signal));
      onServer(server);
      try {
        for await (const chunk of stream.chunks(position, end)) {
          position += chunk.length;
          sinceFailureBytes += chunk.length;
          yield chunk;
        }
        if (position === end) return;
        // Less than was asked for is proper, and then the next request is no retry.
        if (stream.kind === 'part' && position === stream.end && sinceFailureBytes >= minPartBytes) {
          sinceFailureBytes = 0;
          current = undefined;
          continue;
        }
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

  /** Undefined where the servers refuse a suffix in a way that may be about anything: the next request will tell. */
  async #askForSuffix(lengthBytes: number, signal: AbortSignal) {
    try {
      return await this.#ask({ suffixBytes: lengthBytes }, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof RegistryError && (error.code === 'refused' || error.status === 500)) return undefined;
      if (error instanceof RegistryError && error.status === 403) return undefined;
      throw error;
    }
  }

  async #suffixOfWhole(
    response: HttpResponse,
    begun: { readonly stream: SatisfiedRange; readonly server: string },
    lengthBytes: number,
    signal: AbortSignal,
  ): Promise<BlobSuffix> {
    const total = begun.stream.totalBytes;
    if (total === undefined) return await this.#tailOfUnknown(begun, lengthBytes);
    this.#sizeBytes = total;
    if (total <= lengthBytes + wholeAnswerSlackBytes) {
      return await this.#collectSuffix(Math.max(0, total - lengthBytes), total, signal, begun);
    }
    // This server knows no suffix ranges; it may well know plain ones.
    response.body.destroy();
    return await this.#collectTail(lengthBytes, total, signal);
  }

  async #collectTail(lengthBytes: number, blobSizeBytes: number, signal: AbortSignal): Promise<BlobSuffix> {
    return await this.#collectSuffix(Math.max(0, blobSizeBytes - lengthBytes), blobSizeBytes, signal, undefined);
  }

  async #collectSuffix(
    offset: number,
    blobSizeBytes: number,
    signal: AbortSignal,
    begun: ServedRange | undefined,
  ): Promise<BlobSuffix> {
    const servers = new Set<string>();
    const chunks: Buffer[] = [];
    if (offset < blobSizeBytes) {
      const pieces = this.#read(offset, blobSizeBytes, signal, begun, (server) => servers.add(server));
      for await (const chunk of pieces) chunks.push(chunk);
    }
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, blobSizeBytes - offset);
    return { bytes, offset, blobSizeBytes, servers };
  }

  /** The tail of a whole blob whose size nobody tells: read to its end, the last bytes kept. */
  async #tailOfUnknown({ stream, server }: ServedRange, lengthBytes: number): Promise<BlobSuffix> {
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
    return { bytes, offset: blobSizeBytes - bytes.length, blobSizeBytes, servers: new Set([server]) };
  }

  /** From the first byte's Content-Range, else from a HEAD; undefined where neither tells. */
  async #findSize(signal: AbortSignal): Promise<number | undefined> {
    for (const [method, range] of [
      ['GET', 'bytes=0-0'],
      ['HEAD', undefined],
    ] as const) {
      try {
        const { response } = await this.#locator.request(range, signal, method);
        await response.body.drain();
        const contentRange = headerText(response.headers, 'content-range');
        const total =
          response.status === 200
            ? Number(headerText(response.headers, 'content-length') ?? Number.NaN)
            : (parseContentRange(contentRange)?.totalBytes ?? parseUnsatisfiedRange(contentRange));
        if (total === undefined || !Number.isSafeInteger(total)) continue;
        this.#sizeBytes = total;
        return total;
      } catch (error) {
        signal.throwIfAborted();
        // What the first cannot do, the whole cannot either; a HEAD may be refused.
        if (method === 'GET') throw error;
      }
    }
    return undefined;
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
