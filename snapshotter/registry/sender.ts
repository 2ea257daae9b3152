import type { Access, Authorizer, Issued } from './authorizer.ts';
import { type HttpRequest, type HttpResponse, speaksNoTls } from './connections.ts';
import { RegistryError } from './error.ts';
import { type Capability, type Endpoint, endpointsOf, type HostLookup, originEndpoint } from './host.ts';
import { followRedirects } from './redirect.ts';
import type { Reference } from './reference.ts';
import { isRetryableError } from './retry.ts';
import type { Scheme } from './server-address.ts';
import { type RequestKind, statusError, type Transport } from './transport.ts';

export interface RegistryRequest {
  readonly reference: Reference;
  readonly method: HttpRequest['method'];
  /** A path below the API's root (`/library/python/tags/list`), or the URL that a Location named. */
  readonly target: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: HttpRequest['body'];
  readonly actions: 'pull' | 'pull,push' | 'pull,push,delete';
  readonly extraScopes?: readonly string[];
  readonly kind: RequestKind;
  readonly operation: string;
  readonly signal: AbortSignal;
  readonly maxRetries?: number | undefined;
}

/** A server to try; with `url`, a plain URL of it rather than the registry API. */
export interface Candidate {
  readonly endpoint: Endpoint;
  readonly url?: URL;
}

/** A server sent bytes that failed their digest. */
export interface WrongBytes {
  /** `mirror.local:5000` */
  readonly server: string;
  /** `fetch blob sha256:… of docker.io/library/python` */
  readonly operation: string;
  /** For how long it is asked last. */
  readonly distrustMs: number;
}

const maxAuthorizationRounds = 6;
/** For how long an unreachable server is asked last. */
const downMs = 30_000;
/** For how long a server that sent wrong bytes is asked last. */
const distrustMs = 600_000;

/** Sends requests to registries: chooses server, scheme and Authorization, and never sends that Authorization to another host. */
export class Sender {
  readonly transport: Transport;
  readonly #authorizer: Authorizer;
  readonly #hosts: HostLookup;
  readonly #requestTimeoutMs: number;
  readonly #onWrongBytes: (report: WrongBytes) => void;
  readonly #schemes = new Map<string, Scheme>();
  readonly #downUntilMs = new Map<string, number>();
  readonly #distrustedUntilMs = new Map<string, number>();
  readonly #reportedUntilMs = new Map<string, number>();

  constructor(
    transport: Transport,
    authorizer: Authorizer,
    hosts: HostLookup,
    requestTimeoutMs: number,
    onWrongBytes: (report: WrongBytes) => void,
  ) {
    this.transport = transport;
    this.#authorizer = authorizer;
    this.#hosts = hosts;
    this.#requestTimeoutMs = requestTimeoutMs;
    this.#onWrongBytes = onWrongBytes;
  }

  /** The server to push to: the first with that capability, as in containerd. */
  pushEndpoint(registry: string): Endpoint {
    return this.#endpoints(registry, 'push')[0]!;
  }

  /** For the host of a URL in a descriptor: its TLS options are those of the registry of that name. */
  hostEndpoint(host: string): Endpoint {
    const { mirrors: _others, server: _other, ...options } = this.#hosts(host) ?? {};
    return originEndpoint(host, this.#requestTimeoutMs, options);
  }

  /** Servers to read from: mirrors, then the registry; behind them the recently unreachable, then those that sent wrong bytes. */
  pullOrder(reference: Reference, capability: 'pull' | 'resolve'): Candidate[] {
    const candidates = this.#endpoints(reference.registry, capability).map((endpoint) => ({ endpoint }));
    if (this.#downUntilMs.size === 0 && this.#distrustedUntilMs.size === 0) return candidates;
    const nowMs = this.transport.clock.now();
    const holds = (until: ReadonlyMap<string, number>, { id }: Endpoint): boolean => (until.get(id) ?? 0) > nowMs;
    const rank = ({ endpoint }: Candidate): number =>
      holds(this.#distrustedUntilMs, endpoint) ? 2 : holds(this.#downUntilMs, endpoint) ? 1 : 0;
    return candidates.sort((one, other) => rank(one) - rank(other));
  }

  /** Asks the server last for a while, and reports it unless that was done recently. */
  distrust(server: string, operation: string): void {
    const nowMs = this.transport.clock.now();
    this.#distrustedUntilMs.set(server, nowMs + distrustMs);
    if ((this.#reportedUntilMs.get(server) ?? 0) > nowMs) return;
    this.#reportedUntilMs.set(server, nowMs + distrustMs);
    this.#onWrongBytes({ server, operation, distrustMs });
  }

  /** Reverts `distrust`: if all servers sent bytes that fail the digest, the content is at fault. */
  trust(server: string): void {
    this.#distrustedUntilMs.delete(server);
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
        if (isRetryableError(error)) this.#downUntilMs.set(endpoint.id, this.transport.clock.now() + downMs);
        failures.push({ endpoint, error });
      }
    }
    throw bestFailure(failures, operation);
  }

  /** One server's answer, redirects followed; an error status is thrown as RegistryError. */
  async expectOk(endpoint: Endpoint, request: RegistryRequest): Promise<HttpResponse> {
    const first = await this.send(endpoint, request);
    const response = await followRedirects(first, request.operation, (url) => this.sendTo(endpoint, request, url));
    if (response.status < 400) return response;
    throw await statusError(response, request.operation, this.transport.clock.now());
  }

  /** One server's response of any status, after all Authorizations were tried. Does not follow redirects. */
  async send(endpoint: Endpoint, request: RegistryRequest): Promise<HttpResponse> {
    const access: Access = { endpoint, reference: request.reference, scopes: scopesOf(request) };
    const attempt = this.#authorizer.begin();
    const pending = this.#authorizer.authorize(access, request.signal);
    // Usually known, or not needed: avoids a tick.
    let sent = pending instanceof Promise ? await pending : pending;
    for (let round = 1; ; round++) {
      const response = await this.#sendWithScheme(endpoint, request, sent?.header);
      const isRefused = response.status === 401 || (response.status === 403 && sent !== undefined);
      if (!isRefused || round > maxAuthorizationRounds) return response;
      let next: Issued | undefined;
      try {
        next = await this.#authorizer.answer(access, response, sent, attempt, request.signal);
      } catch (error) {
        request.signal.throwIfAborted();
        // The 403 itself is the better error.
        if (response.status !== 403) throw error;
      }
      if (next === undefined) return response;
      await response.body.drain();
      sent = next;
    }
  }

  /** One request to a URL that the registry named; with credentials only if that is on the registry's own host. */
  async sendTo(endpoint: Endpoint, request: RegistryRequest, url: URL): Promise<HttpResponse> {
    if (url.host === endpointUrl(endpoint, 'https').host || url.host === endpointUrl(endpoint, 'http').host) {
      return await this.send(endpoint, { ...request, target: url });
    }
    return await this.sendPlain(url, request, endpoint);
  }

  /** One request without credentials and without the endpoint's headers, but with its TLS options. */
  async sendPlain(url: URL, request: RegistryRequest, endpoint: Endpoint): Promise<HttpResponse> {
    const { method, body, operation, kind, signal, maxRetries } = request;
    const { trust, route, requestTimeoutMs: timeoutMs } = endpoint;
    const headers = { ...request.headers };
    return await this.transport.send(
      { method, url, headers, trust, route, timeoutMs, operation, ...(body === undefined ? {} : { body }) },
      { kind, signal, maxRetries },
    );
  }

  #endpoints(registry: string, capability: Capability): [Endpoint, ...Endpoint[]] {
    const all = endpointsOf(registry, this.#requestTimeoutMs, this.#hosts(registry));
    const [first, ...rest] = all.filter(({ capabilities }) => capabilities.has(capability));
    if (first !== undefined) return [first, ...rest];
    const detail = `none of its servers (${all.map(({ id }) => id).join(', ')}) has the capability "${capability}"`;
    const remedy = 'check `capabilities` in its hosts.toml';
    throw new RegistryError('refused', detail, { operation: `choose a server of ${registry}`, remedy });
  }

  async #sendWithScheme(
    endpoint: Endpoint,
    request: RegistryRequest,
    authorization: string | undefined,
  ): Promise<HttpResponse> {
    const known = this.#schemes.get(endpoint.id);
    const schemes = known === undefined ? endpoint.schemes : [known];
    for (const [index, scheme] of schemes.entries()) {
      const isLast = index === schemes.length - 1;
      try {
        const response = await this.transport.send(httpRequest(endpoint, request, scheme, authorization), {
          kind: request.kind,
          signal: request.signal,
          maxRetries: isLast ? request.maxRetries : 0,
        });
        if (endpoint.schemes.length > 1) this.#schemes.set(endpoint.id, scheme);
        return response;
      } catch (error) {
        if (isLast || !(speaksNoTls(error) || isRetryableError(error))) throw error;
      }
    }
    throw new Error('an endpoint has at least one scheme');
  }
}

/** A server that another can stand in for is retried once only. */
export function retriesBefore(isLast: boolean): { maxRetries?: number } {
  return isLast ? {} : { maxRetries: 1 };
}

function httpRequest(
  endpoint: Endpoint,
  request: RegistryRequest,
  scheme: Scheme,
  authorization: string | undefined,
): HttpRequest {
  const url = endpointUrl(endpoint, scheme, request.target);
  // A registry behind a TLS proxy may use http in its own URLs, so the scheme stays. The exception is a redirect from plain
  // HTTP to the TLS port.
  if (url.protocol !== 'https:' || url.port !== '') url.protocol = scheme;
  if (endpoint.saysNamespace) url.searchParams.set('ns', request.reference.registry);
  return {
    method: request.method,
    url,
    headers: { ...endpoint.headers, ...request.headers, ...(authorization === undefined ? {} : { authorization }) },
    ...(request.body === undefined ? {} : { body: request.body }),
    trust: endpoint.trust,
    route: endpoint.route,
    timeoutMs: endpoint.requestTimeoutMs,
    operation: request.operation,
  };
}

function endpointUrl(endpoint: Endpoint, scheme: Scheme, target: string | URL = ''): URL {
  if (target instanceof URL) return new URL(target);
  return new URL(`${scheme}://${endpoint.authority}${endpoint.apiPath}${target}`);
}

function scopesOf(request: RegistryRequest): string[] {
  return [`repository:${request.reference.repository}:${request.actions}`, ...(request.extraScopes ?? [])];
}

/** The registry's own failure, with those of the mirrors as its cause. */
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
