import { BlobLocator, type LocatedResponse } from './blob-locator.ts';
import {
  checkLength,
  openRange,
  type RangeStream,
  rangeHeader,
  type SatisfiedRange,
  sizeBehind,
} from './blob-range.ts';
import type { BlobSource, BlobSuffix } from './blob-source.ts';
import type { HttpResponse } from './connections.ts';
import { parseContentRange, parseUnsatisfiedRange } from './content-range.ts';
import { type Digest, digester, EMPTY_DIGEST } from './digest.ts';
import { RegistryError } from './error.ts';
import type { Reference } from './reference.ts';
import { isRetryableError } from './retry.ts';
import { emptySuffix, readTail } from './tail.ts';
import type { Sender } from './sender.ts';
import { headerText } from './transport.ts';

export type { BlobSource, BlobSuffix } from './blob-source.ts';

/** A response under way and its server. */
interface ServedRange {
  readonly stream: SatisfiedRange;
  readonly server: string;
}

/** Progress that resets the count of failures: even a server that cuts every body short is read to the end. */
const progressBytes = 64 * 1024;
/** Smallest partial range that counts as progress; servers that return less would need too many requests. */
const minPartBytes = 4 * 1024;
/** A whole blob sent instead of a suffix is read if it has at most this many unwanted bytes. */
const wholeAnswerSlackBytes = 256 * 1024;

export class RegistryBlob implements BlobSource {
  readonly digest: Digest;
  readonly #sender: Sender;
  readonly #locator: BlobLocator;
  /** For messages. */
  readonly operation: string;
  /** Servers whose bytes failed the digest; cleared once all have. */
  readonly #blamed = new Set<string>();
  #sizeBytes: number | undefined;

  constructor(sender: Sender, reference: Reference, digest: Digest, urls: readonly string[] = []) {
    this.digest = digest;
    this.#sender = sender;
    this.operation = `fetch blob ${digest} of ${reference.registry}/${reference.repository}`;
    this.#locator = new BlobLocator(sender, reference, digest, urls, this.operation);
  }

  async fetchSuffix(lengthBytes: number, signal: AbortSignal): Promise<BlobSuffix> {
    checkLength(lengthBytes);
    if (this.#sizeBytes !== undefined) return await this.#collectTail(lengthBytes, this.#sizeBytes, signal);
    const asked = await this.#askForSuffix(lengthBytes, signal);
    const stream = asked?.stream;
    const blobSizeBytes = stream?.kind === 'part' ? sizeBehind(stream, lengthBytes) : undefined;
    if (stream?.kind === 'part' && blobSizeBytes !== undefined) {
      const { server } = asked!;
      this.#sizeBytes = blobSizeBytes;
      return await this.#collectSuffix(stream.start, blobSizeBytes, signal, { stream, server });
    }
    if (stream?.kind === 'whole') {
      return await this.#suffixOfWhole(asked!.response, { stream, server: asked!.server }, lengthBytes, signal);
    }
    // Some servers refuse a suffix longer than the blob, some refuse every suffix (Azure). With the size, a plain range does.
    if (stream?.kind === 'part') asked!.response.body.destroy();
    else await asked?.response.body.drain();
    const totalBytes = stream?.totalBytes ?? (await this.#findSize(signal));
    if (totalBytes === 0 && asked !== undefined) return emptySuffix(asked.server);
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
    // The size came from the same servers.
    this.#sizeBytes = undefined;
    if (servers.size !== 1) return servers.size > 0;
    const server = [...servers][0]!;
    this.#sender.distrust(server, this.operation);
    this.#blamed.add(server);
    if (this.#locator.avoid(server)) return true;
    for (const blamed of this.#blamed) this.#sender.trust(blamed);
    this.#blamed.clear();
    return false;
  }

  /** The whole blob; throws `digest-mismatch` after its last byte if it has another digest. */
  async *fetchWhole(signal: AbortSignal, onServer: (server: string) => void = () => {}): AsyncGenerator<Buffer> {
    const hash = digester();
    let position = 0;
    const servers = new Set<string>();
    const note = (server: string): void => {
      servers.add(server);
      onServer(server);
    };
    const { response, stream, server } = await this.#ask('whole', signal);
    if (stream.kind === 'unsatisfied') throw this.#badRange('HTTP 416 to a request for the whole', response.status);
    note(server);
    const total = stream.totalBytes;
    const begun = { stream, server };
    const isWhole = (): boolean => hash.digest() === this.digest;
    const chunks =
      total === undefined ? this.#readUnsized(begun, isWhole, signal, note) : this.#read(0, total, signal, begun, note);
    for await (const chunk of chunks) {
      hash.update(chunk);
      position += chunk.length;
      yield chunk;
    }
    const actual = hash.digest();
    if (actual === this.digest) return;
    this.distrust(servers);
    const coding = headerText(response.headers, 'content-encoding');
    const how = coding === undefined ? '' : `, as content-encoding ${coding}`;
    throw new RegistryError('digest-mismatch', `${position} bytes came with digest ${actual}${how}`, {
      operation: this.operation,
      host: [...servers].join(', '),
    });
  }

  /** A body of unknown length that breaks off, or ends without being whole, is continued by ranges if a server tells the size. */
  async *#readUnsized(
    { stream }: ServedRange,
    isWhole: () => boolean,
    signal: AbortSignal,
    onServer: (server: string) => void,
  ): AsyncGenerator<Buffer> {
    let position = 0;
    let failure: unknown;
    try {
      for await (const chunk of stream.chunks(0, undefined)) {
        position += chunk.length;
        yield chunk;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isRetryableError(error)) throw error;
      failure = error;
    }
    if (isWhole()) return;
    const sizeBytes = this.#sizeBytes ?? (await this.#findSize(signal));
    if (sizeBytes !== undefined && sizeBytes > position) {
      yield* this.#read(position, sizeBytes, signal, undefined, onServer);
    } else if (failure !== undefined) throw failure;
  }

  /** Reads [start, end) with as many requests as it takes. `begun`: a response that starts the range. */
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
    const useless = new Set<string>();
    while (position < end) {
      // Retries on its own; its failure is final.
      const { stream, server } = current ?? (await this.#open(position, end, signal));
      onServer(server);
      try {
        for await (const chunk of stream.chunks(position, end)) {
          position += chunk.length;
          sinceFailureBytes += chunk.length;
          yield chunk;
        }
        if (position === end) return;
        // A shorter range than requested is legal (RFC 9110, 15.3.7), so the next request is not a retry.
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
        if (hasProgressed) useless.clear();
        const isOtherThere = (!hasProgressed || !isRetryableError(error)) && this.#passOver(server, useless);
        failures++;
        if (!isOtherThere && (failures > maxFailures || !isRetryableError(error))) throw error;
        sinceFailureBytes = 0;
        current = undefined;
      }
      // The first resumption is sent without a wait.
      if (failures > 1) await this.#sender.transport.wait(failures - 1, signal);
    }
  }

  /** Opens a range at the first server that does not deny that it exists. */
  async #open(start: number, end: number, signal: AbortSignal): Promise<ServedRange> {
    const useless = new Set<string>();
    for (;;) {
      const { response, stream, server } = await this.#ask({ start, end }, signal);
      if (stream.kind !== 'unsatisfied' && (stream.totalBytes ?? end) >= end) {
        this.#sizeBytes ??= stream.totalBytes;
        return { stream, server };
      }
      if (stream.kind === 'unsatisfied') await response.body.drain();
      else response.body.destroy();
      if (this.#passOver(server, useless)) continue;
      const detail =
        stream.totalBytes === undefined
          ? `there are no bytes ${start} to ${end}`
          : `bytes ${start} to ${end} are beyond its size of ${stream.totalBytes}`;
      throw this.#badRange(detail, response.status);
    }
  }

  /** Sends one request and checks the response header; retries where that is malformed, or a multipart breaks off in its head. */
  async #ask(
    wanted: { readonly suffixBytes: number } | { readonly start: number; readonly end: number } | 'whole',
    signal: AbortSignal,
  ): Promise<LocatedResponse & { readonly stream: RangeStream }> {
    const { transport } = this.#sender;
    const useless = new Set<string>();
    for (let attempt = 1; ; attempt++) {
      const located = await this.#locator.request(wanted === 'whole' ? undefined : rangeHeader(wanted), signal);
      try {
        const range = wanted === 'whole' ? { start: 0, end: undefined } : wanted;
        const stream = await openRange(located.response, range, this.operation);
        if (stream.totalBytes === 0 && this.digest !== EMPTY_DIGEST) throw this.#emptyBlob(located);
        return { ...located, stream };
      } catch (error) {
        signal.throwIfAborted();
        if (this.#passOver(located.server, useless)) continue;
        if (attempt > transport.retry.maxRetries || !isRetryableError(error)) throw error;
      }
      await transport.wait(attempt, signal);
    }
  }

  /**
   * Whether there is another server to ask. `useless` holds the servers passed over by this call: one that comes up again
   * does so only because the others failed.
   */
  #passOver(server: string, useless: Set<string>): boolean {
    const isOtherThere = this.#locator.avoid(server) && !useless.has(server);
    useless.add(server);
    return isOtherThere;
  }

  /** Undefined where the refusal may be due to the suffix itself; the next request will show. */
  async #askForSuffix(lengthBytes: number, signal: AbortSignal) {
    try {
      const asked = await this.#ask({ suffixBytes: lengthBytes }, signal);
      if (!this.#blamed.has(asked.server)) return asked;
      // The others refuse the suffix, and may have it as a plain range.
      asked.response.body.destroy();
      this.#locator.avoid(asked.server);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      const isOfSuffix =
        error instanceof RegistryError &&
        (['refused', 'protocol', 'bad-range'].includes(error.code) || error.status === 403 || error.status === 500);
      if (isOfSuffix) return undefined;
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
    if (total === undefined) return await this.#tailOfUnknown(begun, lengthBytes, signal);
    if (total === 0) {
      response.body.destroy();
      return emptySuffix(begun.server);
    }
    this.#sizeBytes = total;
    if (total <= lengthBytes + wholeAnswerSlackBytes) {
      return await this.#collectSuffix(Math.max(0, total - lengthBytes), total, signal, begun);
    }
    // A server without suffix ranges may still support plain ones.
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
    const pieces = this.#read(offset, blobSizeBytes, signal, begun, (server) => servers.add(server));
    for await (const chunk of pieces) chunks.push(chunk);
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, blobSizeBytes - offset);
    return { bytes, offset, blobSizeBytes, servers };
  }

  /** Reads a blob of unknown size to its end and keeps the last bytes. A body that breaks off is requested again. */
  async #tailOfUnknown(begun: ServedRange, lengthBytes: number, signal: AbortSignal): Promise<BlobSuffix> {
    const { transport } = this.#sender;
    let { stream, server } = begun;
    for (let attempt = 1; ; attempt++) {
      try {
        const { bytes, sizeBytes } = await readTail(stream.chunks(0, undefined), lengthBytes);
        this.#sizeBytes = sizeBytes;
        return { bytes, offset: sizeBytes - bytes.length, blobSizeBytes: sizeBytes, servers: new Set([server]) };
      } catch (error) {
        signal.throwIfAborted();
        if (attempt > transport.retry.maxRetries || !isRetryableError(error)) throw error;
      }
      await transport.wait(attempt, signal);
      const again = await this.#ask('whole', signal);
      if (again.stream.kind === 'unsatisfied') throw this.#badRange('HTTP 416 to the whole', again.response.status);
      ({ stream, server } = { stream: again.stream, server: again.server });
    }
  }

  /** The size from the Content-Range of the first byte, else from a HEAD; undefined if neither has it. */
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
        // If the GET fails, so would one of the whole blob. Only the HEAD is optional.
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
    return new RegistryError('bad-range', detail, { operation: this.operation, status });
  }

  #emptyBlob({ response }: LocatedResponse): RegistryError {
    response.body.destroy();
    const { url, status } = response;
    return new RegistryError('protocol', 'the server has it as empty', {
      operation: this.operation,
      host: url.host,
      status,
    });
  }

  #shortBody(position: number, end: number): RegistryError {
    return new RegistryError('unreachable', `the body ended ${end - position} bytes early`, {
      operation: this.operation,
      remedy: '',
    });
  }
}
