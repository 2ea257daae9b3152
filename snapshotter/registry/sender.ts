import type { Access, Authorizer } from './authorizer.ts';
import { type HttpRequest, type HttpResponse, speaksNoTls } from './connections.ts';
import { RegistryError } from './error.ts';
import { type Endpoint, type HostOptions, originEndpoint, pullEndpoints, type Scheme } from './host.ts';
import type { Reference } from './reference.ts';
import { isRetryableError } from './retry.ts';
import { headerText, type RequestKind, statusError, type Transport } from './transport.ts';

export interface RegistryRequest {
  readonly reference: Reference;
  readonly method: HttpRequest['method'];
  /** A path of the registry, or the URL its Location named. */
  readonly target: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: HttpRequest['body'];
  readonly actions: 'pull' | 'pull,push';
  readonly extraScopes?: readonly string[];
  readonly kind: RequestKind;
  readonly operation: string;
  readonly signal: AbortSignal;
  readonly maxRetries?: number | undefined;
}

/** A server to try, or a URL on it that needs no registry protocol. */
export interface Candidate {
  readonly endpoint: Endpoint;
  readonly url?: URL;
}

const mostAuthorizationRounds = 3;
const mostRedirects = 5;
/** How long a server that could not be reached is asked last instead of first. */
const downMs = 30_000;

/** Requests to registries: which server, which scheme, which Authorization; and never that Authorization elsewhere. */
export class Sender {
  readonly transport: Transport;
  readonly #authorizer: Authorizer;
  readonly #hosts: Readonly<Record<string, HostOptions>>;
  readonly #requestTimeoutMs: number;
  readonly #schemes = new Map<string, Scheme>();
  readonly #downUntilMs = new Map<string, number>();

  constructor(
    transport: Transport,
    authorizer: Authorizer,
    hosts: Readonly<Record<string, HostOptions>>,
    requestTimeoutMs: number,
  ) {
    this.transport = transport;
    this.#authorizer = authorizer;
    this.#hosts = hosts;
    this.#requestTimeoutMs = requestTimeoutMs;
  }

  endpointOf(registry: string): Endpoint {
    return originEndpoint(registry, this.#requestTimeoutMs, this.#hosts[registry]);
  }

  /** Servers to read from: mirrors, the registry; those that were unreachable a moment ago last. */
  pullOrder(reference: Reference): Candidate[] {
    const { registry } = reference;
    const endpoints = pullEndpoints(registry, this.#requestTimeoutMs, this.#hosts[registry]);
    const candidates = endpoints.map((endpoint) => ({ endpoint }));
    if (this.#downUntilMs.size === 0) return candidates;
    const nowMs = this.transport.clock.now();
    const isDown = ({ endpoint }: Candidate): boolean => (this.#downUntilMs.get(endpoint.authority) ?? 0) > nowMs;
    return [...candidates.filter((candidate) => !isDown(candidate)), ...candidates.filter(isDown)];
  }

  /** Asks the servers in order until one answers with a status below 400; otherwise the registry's own error. */
  async pull(request: RegistryRequest): Promise<HttpResponse> {
    const { reference, operation, signal } = request;
    return await this.firstOf(this.pullOrder(reference), operation, signal, ({ endpoint }, isLast) =>
      this.expectOk(endpoint, { ...request, ...retriesBefore(isLast) }),
    );
  }

  /** The first success of `ask` over the candidates. */
  async firstOf<T>(
    candidates: readonly Candidate[],
    operation: string,
    signal: AbortSignal,
    ask: (candidate: Candidate, isLast: boolean) => Promise<T>,
  ): Promise<T> {
    const failures: { endpoint: Endpoint; error: unknown }[] = [];
    for (const [index, candidate] of candidates.entries()) {
      try {
        return await ask(candidate, index === candidates.length - 1);
      } catch (error) {
        signal.throwIfAborted();
        const { endpoint } = candidate;
        if (isRetryableError(error)) this.#downUntilMs.set(endpoint.authority, this.transport.clock.now() + downMs);
        failures.push({ endpoint, error });
      }
    }
    throw bestFailure(failures, operation);
  }

  /** One server's answer, redirects followed; an error status is thrown as RegistryError. */
  async expectOk(endpoint: Endpoint, request: RegistryRequest): Promise<HttpResponse> {
    const first = await this.send(endpoint, request);
    const response = await follow(request, first, (url) => this.sendTo(endpoint, request, url));
    if (response.status < 400) return response;
    throw await statusError(response, request.operation, this.transport.clock.now());
  }

  /** One server's answer whatever its status, 401 answered with a token; redirects are the caller's. */
  async send(endpoint: Endpoint, request: RegistryRequest): Promise<HttpResponse> {
    const access: Access = { endpoint, reference: request.reference, scopes: scopesOf(request) };
    const pendingHeader = this.#authorizer.authorize(access, request.signal);
    // The common case has its header at hand, or needs none: no tick is spent on it.
    let authorization = typeof pendingHeader === 'object' ? await pendingHeader : pendingHeader;
    const refused = new Set<string>();
    for (let round = 1; ; round++) {
      const response = await this.#sendWithScheme(endpoint, request, authorization);
      if (response.status !== 401 || round > mostAuthorizationRounds) return response;
      if (authorization !== undefined) refused.add(authorization);
      const next = await this.#authorizer.answer(access, response.headers, refused, request.signal);
      if (next === undefined) return response;
      await response.body.drain();
      authorization = next;
    }
  }

  /** One request to a URL that the registry named: with credentials only if it is the registry's own. */
  async sendTo(endpoint: Endpoint, request: RegistryRequest, url: URL): Promise<HttpResponse> {
    if (url.host === endpointUrl(endpoint, 'https').host || url.host === endpointUrl(endpoint, 'http').host) {
      return await this.send(endpoint, { ...request, target: url });
    }
    return await this.sendPlain(url, request, endpoint);
  }

  /** One request without any credential, nor the headers meant for the endpoint; trusted as the endpoint is. */
  async sendPlain(url: URL, request: RegistryRequest, endpoint: Endpoint): Promise<HttpResponse> {
    const { method, body, operation, kind, signal, maxRetries } = request;
    const { trust, requestTimeoutMs: timeoutMs } = endpoint;
    const headers = { ...request.headers };
    return await this.transport.send(
      { method, url, headers, trust, timeoutMs, operation, ...(body === undefined ? {} : { body }) },
      { kind, signal, maxRetries },
    );
  }

  async #sendWithScheme(
    endpoint: Endpoint,
    request: RegistryRequest,
    authorization: string | undefined,
  ): Promise<HttpResponse> {
    const known = this.#schemes.get(endpoint.authority);
    const schemes = known === undefined ? endpoint.schemes : [known];
    for (const [index, scheme] of schemes.entries()) {
      const isLast = index === schemes.length - 1;
      try {
        const response = await this.transport.send(httpRequest(endpoint, request, scheme, authorization), {
          kind: request.kind,
          signal: request.signal,
          maxRetries: isLast ? request.maxRetries : 0,
        });
        if (endpoint.schemes.length > 1) this.#schemes.set(endpoint.authority, scheme);
        return response;
      } catch (error) {
        if (isLast || !(speaksNoTls(error) || isRetryableError(error))) throw error;
      }
    }
    throw new Error('an endpoint has at least one scheme');
  }
}

/** A server that another stands in for is not waited for long. */
export function retriesBefore(isLast: boolean): { maxRetries?: number } {
  return isLast ? {} : { maxRetries: 1 };
}

export function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/** Follows redirects to their end, with `send` for each. */
export async function follow(
  request: RegistryRequest,
  first: HttpResponse,
  send: (url: URL) => Promise<HttpResponse>,
): Promise<HttpResponse> {
  let response = first;
  for (let hops = 0; isRedirect(response.status); hops++) {
    const url = locationOf(response, request.operation);
    await response.body.drain();
    if (hops === mostRedirects) {
      const fields = { operation: request.operation, host: first.url.host };
      throw new RegistryError('protocol', `more than ${mostRedirects} redirects`, fields);
    }
    response = await send(url);
  }
  return response;
}

/** Where a response points to, as an absolute URL without userinfo. */
export function locationOf(response: HttpResponse, operation: string): URL {
  const location = headerText(response.headers, 'location');
  const url =
    location === undefined || !URL.canParse(location, response.url.href) ? undefined : new URL(location, response.url);
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const fields = { operation, host: response.url.host, status: response.status };
    throw new RegistryError('protocol', `HTTP ${response.status} without a usable Location`, fields);
  }
  url.username = '';
  url.password = '';
  return url;
}

function httpRequest(
  endpoint: Endpoint,
  request: RegistryRequest,
  scheme: Scheme,
  authorization: string | undefined,
): HttpRequest {
  const url = endpointUrl(endpoint, scheme, request.target);
  // A registry behind a TLS proxy may name itself with http: the scheme that we came by stays.
  url.protocol = scheme;
  if (endpoint.isMirror) url.searchParams.set('ns', request.reference.registry);
  return {
    method: request.method,
    url,
    headers: { ...endpoint.headers, ...request.headers, ...(authorization === undefined ? {} : { authorization }) },
    ...(request.body === undefined ? {} : { body: request.body }),
    trust: endpoint.trust,
    timeoutMs: endpoint.requestTimeoutMs,
    operation: request.operation,
  };
}

function endpointUrl(endpoint: Endpoint, scheme: Scheme, target: string | URL = '/'): URL {
  return new URL(String(target), `${scheme}://${endpoint.authority}`);
}

function scopesOf(request: RegistryRequest): string[] {
  return [`repository:${request.reference.repository}:${request.actions}`, ...(request.extraScopes ?? [])];
}

/** Of several servers' failures the registry's own says most; the others stay as its cause. */
function bestFailure(failures: readonly { endpoint: Endpoint; error: unknown }[], operation: string): unknown {
  const own = failures.find(({ endpoint }) => !endpoint.isMirror) ?? failures.at(-1);
  if (own === undefined) return new RegistryError('unreachable', 'there is no server to ask', { operation });
  if (failures.length === 1 || !(own.error instanceof RegistryError)) return own.error;
  const { code, status, retryAfterMs } = own.error;
  const others = failures.filter((failure) => failure !== own).map(({ endpoint }) => endpoint.name);
  const detail = `${own.error.detail} (${others.join(', ')} failed too)`;
  const cause = new AggregateError(failures.map(({ error }) => error));
  return new RegistryError(code, detail, {
    operation,
    status,
    retryAfterMs,
    host: own.endpoint.name,
    remedy: '',
    cause,
  });
}
