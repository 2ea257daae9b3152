import {
  Connections,
  type ExchangeEvents,
  type HttpRequest,
  type HttpResponse,
  type ResponseHeaders,
} from './connections.ts';
import { decodeContent } from './content-coding.ts';
import { RegistryError } from './error.ts';
import {
  backoffMs,
  type Clock,
  defaultRetryPolicy,
  isRetryableError,
  isRetryableStatus,
  parseRetryAfter,
  type RetryPolicy,
  systemClock,
} from './retry.ts';

export type RequestKind = 'manifest' | 'blob' | 'token' | 'upload';

/** One HTTP request, reported when it is over. */
export interface RequestReport {
  readonly host: string;
  readonly kind: RequestKind;
  readonly method: string;
  /** Of the URL, without its query, which may be a signature. */
  readonly path: string;
  /** The Range header, if one was sent. */
  readonly range: string | undefined;
  /** Undefined if there was no response. */
  readonly status: number | undefined;
  /** From 1; more than 1 means a retry. */
  readonly attempt: number;
  /** Bytes of the response's body. */
  readonly bytes: number;
  /** From the call to the head of the response, and to its end; queueing for a connection counts. */
  readonly headMs: number | undefined;
  readonly durationMs: number;
  /** Error code, also for a body that stopped early. */
  readonly error: string | undefined;
}

export interface TransportOptions {
  readonly retry?: Partial<RetryPolicy>;
  readonly maxConnectionsPerHost?: number;
  readonly clock?: Clock;
  /** In [0, 1). */
  readonly random?: () => number;
  readonly onRequest?: (report: RequestReport) => void;
  /** Names the proxies; the process's own where absent. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface SendOptions {
  readonly kind: RequestKind;
  readonly signal: AbortSignal;
  /** Lowers the policy's limit, for a server that another can stand in for. */
  readonly maxRetries?: number | undefined;
}

const defaultConnectionsPerHost = 32;
const userAgent = 'stargz-bench';

/** HTTP with retries after connection errors, 408, 429 and 5xx. */
export class Transport {
  readonly retry: RetryPolicy;
  readonly clock: Clock;
  readonly random: () => number;
  readonly #connections: Connections;
  readonly #onRequest: ((report: RequestReport) => void) | undefined;
  readonly #closing = new AbortController();

  constructor(options: TransportOptions = {}) {
    this.retry = { ...defaultRetryPolicy, ...options.retry };
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? Math.random;
    this.#onRequest = options.onRequest;
    this.#connections = new Connections({
      maxConnectionsPerHost: options.maxConnectionsPerHost ?? defaultConnectionsPerHost,
      env: options.env ?? process.env,
    });
  }

  /** The last response, of any status, once retries are used up. Throws RegistryError if there was none. */
  async send(request: HttpRequest, options: SendOptions): Promise<HttpResponse> {
    request.headers['user-agent'] = userAgent;
    // Ranges and digests refer to the unencoded bytes.
    request.headers['accept-encoding'] ??= 'identity';
    const maxRetries = Math.min(this.retry.maxRetries, options.maxRetries ?? this.retry.maxRetries);
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt > maxRetries;
      let waitMs: number | undefined;
      try {
        const response = await this.#exchange(request, options, attempt);
        if (isLast || !isRetryableStatus(response.status)) return response;
        waitMs = parseRetryAfter(response.headers['retry-after'], this.clock.now());
        // The server asks for a longer wait than the policy allows; an earlier retry would only prolong the limit.
        if (waitMs !== undefined && waitMs > this.retry.maxWaitMs) return response;
        await response.body.drain();
      } catch (error) {
        if (isLast || !isRetryableError(error)) throw error;
      }
      await this.wait(attempt, options.signal, waitMs);
    }
  }

  /** A response with its whole body (undefined if longer than `limitBytes`); sent again if the body stops early. */
  async readWhole(
    send: () => Promise<HttpResponse>,
    limitBytes: number,
    signal: AbortSignal,
    maxRetries = this.retry.maxRetries,
  ): Promise<{ readonly response: HttpResponse; readonly bytes: Buffer | undefined }> {
    for (let attempt = 1; ; attempt++) {
      // Retries on its own; its failure is final.
      const response = await send();
      try {
        const bytes = await response.body.readAll(limitBytes);
        const coding = headerText(response.headers, 'content-encoding');
        return { response, bytes: bytes === undefined ? undefined : decodeContent(bytes, coding, limitBytes) };
      } catch (error) {
        if (attempt > maxRetries || !isRetryableError(error)) throw error;
      }
      await this.wait(attempt, signal);
    }
  }

  /** Waits before retry number `retry` (from 1), for at least `askedMs`. */
  async wait(retry: number, signal: AbortSignal, askedMs = 0): Promise<void> {
    const waitMs = Math.max(askedMs, backoffMs(this.retry, retry, this.random));
    await this.clock.sleep(waitMs, AbortSignal.any([signal, this.#closing.signal]));
  }

  /** Ends requests under way and waits before retries. */
  async close(): Promise<void> {
    const fields = { operation: 'registry request', remedy: '' };
    this.#closing.abort(new RegistryError('unreachable', 'the client is closed', fields));
    await this.#connections.close();
  }

  #exchange(request: HttpRequest, options: SendOptions, attempt: number): Promise<HttpResponse> {
    const report = this.#onRequest;
    if (report === undefined) return this.#connections.exchange(request, options.signal);
    const startedMs = performance.now();
    let headMs: number | undefined;
    let status: number | undefined;
    const events: ExchangeEvents = {
      onHead(code) {
        status = code;
        headMs = performance.now() - startedMs;
      },
      onDone(bytes, error) {
        const durationMs = performance.now() - startedMs;
        const code = error instanceof RegistryError ? error.code : error?.name;
        const { host, pathname: path } = request.url;
        const { kind } = options;
        const { method, headers } = request;
        const { range } = headers;
        report({ host, kind, method, path, range, status, attempt, bytes, headMs, durationMs, error: code });
      },
    };
    return this.#connections.exchange(request, options.signal, events);
  }
}

export function headerText(headers: ResponseHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

const errorBodyLimitBytes = 16 * 1024;

/** The error for a failed response, with the registry's own message from its body. */
export async function statusError(response: HttpResponse, operation: string, nowMs: number): Promise<RegistryError> {
  let said = '';
  try {
    said = registryWords(await response.body.readAll(errorBodyLimitBytes));
  } catch {
    // Without a body the status alone is reported.
  }
  const { status } = response;
  const detail = `HTTP ${status}${said === '' ? '' : ` (${said})`}`;
  const retryAfterMs = parseRetryAfter(response.headers['retry-after'], nowMs);
  return new RegistryError(codeOf(status), detail, { operation, host: response.url.host, status, retryAfterMs });
}

function codeOf(status: number): RegistryError['code'] {
  if (status === 401 || status === 403) return 'unauthorized';
  if (status === 404) return 'not-found';
  if (status === 416) return 'bad-range';
  if (status === 429) return 'rate-limited';
  if (status === 408) return 'timeout';
  if (status >= 500) return 'server';
  return status >= 400 ? 'refused' : 'protocol';
}

/** `{"errors":[{"code":"NAME_UNKNOWN","message":"…"}]}` (OCI distribution-spec, "Error Codes"). */
function registryWords(body: Buffer | undefined): string {
  if (body === undefined || body[0] !== 0x7b) return '';
  const { errors } = JSON.parse(body.toString()) as { errors?: unknown };
  if (!Array.isArray(errors)) return '';
  const first: { code?: unknown; message?: unknown } | undefined = errors[0];
  return [first?.code, first?.message]
    .filter((part) => typeof part === 'string')
    .join(': ')
    .slice(0, 200);
}
