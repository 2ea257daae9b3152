import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import buildConnector from 'undici/lib/core/connect.js';
// Not the package's entry: fetch, WebSocket, caches and mocks would cost the daemon 13 MiB of memory.
import Agent from 'undici/lib/dispatcher/agent.js';
import { ResponseBody } from './body.ts';
import { RegistryError, type RegistryErrorFields } from './error.ts';
import type { Route, Trust } from './host.ts';
import { OpenSockets } from './open-sockets.ts';
import { makeProxiedAgent, proxyRefusal } from './proxied-agent.ts';
import { type ProxyChoice, type ProxyServer, parseProxy, proxyChoice } from './proxy.ts';
import { tlsOptions, trustKey } from './tls-options.ts';

export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers: Record<string, string>;
  /** A function is called for each attempt. */
  readonly body?: string | Uint8Array | (() => AsyncIterable<Uint8Array>);
  readonly trust: Trust;
  readonly route?: Route;
  readonly timeoutMs: number;
  /** For error messages: `fetch blob sha256:… of repo`. */
  readonly operation: string;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly body: ResponseBody;
  readonly url: URL;
}

export interface ExchangeEvents {
  onHead?(status: number): void;
  /** Called once, at the end of the body or on failure. */
  onDone?(receivedBytes: number, error: Error | undefined): void;
}

const idleConnectionMs = 60_000;
const defaultConnectMs = 10_000;

/** Connections to all servers: kept alive, bounded per host, shared by all layers of all images. */
export class Connections {
  readonly #perHost: number;
  readonly #proxyFor: ProxyChoice;
  readonly #agents = new Map<string, Dispatcher>();
  readonly #sockets = new OpenSockets();
  #closed = false;

  constructor(options: { readonly maxConnectionsPerHost: number; readonly env: NodeJS.ProcessEnv }) {
    this.#perHost = options.maxConnectionsPerHost;
    this.#proxyFor = proxyChoice(options.env);
  }

  /** One request; resolves with the response header. Rejects with RegistryError or the signal's reason. */
  exchange(request: HttpRequest, signal: AbortSignal, events: ExchangeEvents = {}): Promise<HttpResponse> {
    signal.throwIfAborted();
    if (this.#closed) {
      throw new RegistryError('unreachable', 'the client is closed', { operation: request.operation, remedy: '' });
    }
    const own = request.route?.proxy;
    const proxy = own === undefined ? this.#proxyFor(request.url, request.operation) : parseProxy(own.href);
    const connectMs = request.route?.connectTimeoutMs ?? defaultConnectMs;
    const agent = this.#agentFor(request.trust, request.url.protocol === 'https:', proxy, connectMs);
    return new Promise((resolve, reject) => {
      let controller: Dispatcher.DispatchController | undefined;
      let body: ResponseBody | undefined;
      let abortReason: Error | undefined;
      let isDone = false;

      const onAbort = (): void => {
        abortReason = asError(signal.reason);
        body?.fail(abortReason);
        reject(abortReason);
        controller?.abort(abortReason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const finish = (error: Error | undefined): void => {
        // undici reports a proxy's 407 as an error and then ends the response as well.
        if (isDone) return;
        isDone = true;
        signal.removeEventListener('abort', onAbort);
        events.onDone?.(body?.receivedBytes ?? 0, error);
      };

      const handler: Dispatcher.DispatchHandler = {
        onRequestStart(started) {
          controller = started;
          if (abortReason !== undefined) started.abort(abortReason);
        },
        onResponseStart(started, status, headers) {
          if (status < 200) return;
          body = new ResponseBody(started);
          events.onHead?.(status);
          resolve({ status, headers, body, url: request.url });
        },
        onResponseData(_controller, chunk) {
          body?.push(chunk);
        },
        onResponseEnd() {
          finish(undefined);
          body?.complete();
          // undici releases the connection in the next turn of the event loop. A reader told earlier would send its next
          // request on a new connection and pay for the handshakes.
          queueMicrotask(() => setImmediate(() => body?.end()));
        },
        onResponseError(_controller, error) {
          if (body?.isUnwanted === true) return finish(abortReason);
          const failure = abortReason ?? networkError(error, request, proxy);
          finish(failure);
          body?.fail(failure);
          reject(failure);
        },
      };
      agent.dispatch(
        {
          origin: request.url.origin,
          path: request.url.pathname + request.url.search,
          method: request.method,
          headers: request.headers,
          body: openBody(request.body),
          headersTimeout: request.timeoutMs,
          bodyTimeout: request.timeoutMs,
        },
        handler,
      );
    });
  }

  /** Closes all connections; requests under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    const destroyed = Promise.all(agents.map((agent) => agent.destroy()));
    this.#sockets.destroy();
    await destroyed;
  }

  #agentFor(trust: Trust, isTls: boolean, proxy: ProxyServer | undefined, connectMs: number): Dispatcher {
    const key = [isTls ? trustKey(trust) : 'plain', connectMs, proxy?.url.href ?? '', proxy?.authorization ?? ''].join(
      ' ',
    );
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      agent = this.#makeAgent(trust, isTls, proxy, connectMs);
      this.#agents.set(key, agent);
    }
    return agent;
  }

  #makeAgent(trust: Trust, isTls: boolean, proxy: ProxyServer | undefined, connectMs: number): Dispatcher {
    const limits = { perHost: this.#perHost, idleMs: idleConnectionMs, connectMs };
    if (proxy !== undefined) return makeProxiedAgent(proxy, trust, isTls, limits, this.#sockets);
    // One HTTP/2 connection's flow-control window (512 KiB here) would cap a far registry at window / RTT.
    const allowH2 = false;
    const connect = buildConnector({ allowH2, timeout: connectMs, ...(isTls ? tlsOptions(trust) : {}) });
    return new Agent({
      connections: this.#perHost,
      allowH2,
      keepAliveTimeout: idleConnectionMs,
      connect: this.#sockets.note(connect),
    });
  }
}

function openBody(body: HttpRequest['body']): string | Uint8Array | Readable | null {
  if (body === undefined) return null;
  return typeof body === 'function' ? Readable.from(body(), { objectMode: false }) : body;
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new DOMException(String(reason), 'AbortError');
}

const timeouts = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);
const untrusted =
  /^(CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_|ERR_TLS_CERT_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE)/;
const malformed = /^(HPE_|UND_ERR_(HEADERS_OVERFLOW|RES_CONTENT_LENGTH_MISMATCH|INVALID_ARG|RES_EXCEEDED|REQ_CONTENT))/;
/** OpenSSL's codes for a peer that does not speak TLS. */
const notTls = /^(EPROTO|ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST))/;

/** The one failure after which an `insecure` host is tried by plain HTTP. */
export function speaksNoTls(error: unknown): boolean {
  const cause = error instanceof RegistryError ? (error.cause as { code?: unknown } | undefined) : undefined;
  return typeof cause?.code === 'string' && notTls.test(cause.code);
}

function networkError(error: Error, request: HttpRequest, proxy: ProxyServer | undefined): Error {
  if (error instanceof RegistryError) return error;
  const code = String((error as { code?: unknown }).code ?? error.name);
  const fields = { operation: request.operation, host: request.url.host, cause: error };
  const refusal = proxy === undefined ? undefined : proxyRefusal(error);
  if (refusal !== undefined) return refusedByProxy(refusal, proxy!, fields);
  const way = proxy === undefined ? '' : `, by the proxy ${proxy.url.host}`;
  const detail = `${code}${error.message === '' || error.message === code ? '' : `: ${error.message}`}${way}`;
  if (timeouts.has(code)) {
    const what = code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT' ? 'no connection' : 'no answer';
    return new RegistryError('timeout', `${what} in time (${detail})`, fields);
  }
  if (untrusted.test(code))
    return new RegistryError('untrusted', `its certificate is not accepted (${code})${way}`, fields);
  if (malformed.test(code)) return new RegistryError('protocol', `not proper HTTP (${detail})`, fields);
  return new RegistryError('unreachable', detail, fields);
}

function refusedByProxy(status: number, proxy: ProxyServer, fields: RegistryErrorFields): RegistryError {
  const code = status === 407 ? 'unauthorized' : status >= 500 ? 'unreachable' : 'refused';
  const remedy =
    status === 407 ? 'check the credentials in HTTP_PROXY and HTTPS_PROXY' : 'check the proxy, or set NO_PROXY';
  return new RegistryError(code, `the proxy ${proxy.url.host} refused with HTTP ${status}`, { ...fields, remedy });
}
