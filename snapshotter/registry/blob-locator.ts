import type { HttpResponse } from './connections.ts';
import type { Digest } from './digest.ts';
import type { Endpoint } from './host.ts';
import { followRedirects, isRedirect } from './redirect.ts';
import type { Reference } from './reference.ts';
import { isRetryableError } from './retry.ts';
import { type Candidate, type RegistryRequest, retriesBefore, type Sender } from './sender.ts';
import { expiryOf } from './signed-url.ts';
import { statusError } from './transport.ts';

/** Where a registry redirected us for a blob, and until when that is valid. */
interface Location {
  readonly url: URL;
  readonly expiresAtMs: number;
}

export interface LocatedResponse {
  readonly response: HttpResponse;
  /** The mirror, the registry or the URL without its query; for `avoid`. */
  readonly server: string;
}

/** A URL counts as expired this long before its expiry, to allow for the request's own latency. */
const expiryMarginMs = 1000;
const maxResolutions = 2;

/** Finds the bytes of one blob: mirrors and registry in order, their redirects remembered, then the URLs of its descriptor. */
export class BlobLocator {
  readonly #sender: Sender;
  readonly #reference: Reference;
  readonly #path: string;
  readonly #urls: readonly URL[];
  readonly #operation: string;
  readonly #locations = new Map<string, Location>();
  /** The server that answered last; it is asked first, so that the ranges of a blob stay with one server. */
  #preferred: string | undefined;
  /** Servers whose answers were useless; they are asked last. */
  readonly #avoided = new Set<string>();

  constructor(sender: Sender, reference: Reference, digest: Digest, urls: readonly string[], operation: string) {
    this.#sender = sender;
    this.#reference = reference;
    this.#path = `/${reference.repository}/blobs/${digest}`;
    this.#urls = urls.filter((url) => /^https?:/i.test(url) && URL.canParse(url)).map((url) => new URL(url));
    this.#operation = operation;
  }

  /** A response with status 200, 206 or 416, or 400, 405 or 501 to a suffix range, and its server. Other statuses are thrown. */
  async request(
    range: string | undefined,
    signal: AbortSignal,
    method: 'GET' | 'HEAD' = 'GET',
  ): Promise<LocatedResponse> {
    const request: RegistryRequest = {
      reference: this.#reference,
      method,
      target: this.#path,
      headers: range === undefined ? {} : { range },
      actions: 'pull',
      kind: 'blob',
      operation: this.#operation,
      signal,
    };
    const order = this.#order();
    // The last useful server gets all of its retries: the useless ones behind it cannot stand in for it.
    const last = order.findLast((candidate) => !this.#avoided.has(serverOf(candidate))) ?? order.at(-1);
    return await this.#sender.firstOf(order, this.#operation, signal, async (candidate) => {
      const response = await this.#ask(candidate, { ...request, ...retriesBefore(candidate === last) });
      const server = serverOf(candidate);
      this.#preferred = server;
      return { response, server };
    });
  }

  /** Asks these servers last from now on. Returns false, and forgets about all of them, once that applies to every server. */
  avoid(...servers: readonly string[]): boolean {
    for (const server of servers) {
      if (this.#preferred === server) this.#preferred = undefined;
      this.#avoided.add(server);
      this.#locations.delete(server);
    }
    if (this.#candidates().some((candidate) => !this.#avoided.has(serverOf(candidate)))) return true;
    this.#avoided.clear();
    return false;
  }

  #candidates(): Candidate[] {
    const ofUrls = this.#urls.map((url) => ({ endpoint: this.#sender.hostEndpoint(url.host), url }));
    return [...this.#sender.pullOrder(this.#reference, 'pull'), ...ofUrls];
  }

  #order(): Candidate[] {
    const rank = (candidate: Candidate): number => {
      const server = serverOf(candidate);
      return server === this.#preferred ? 0 : this.#avoided.has(server) ? 2 : 1;
    };
    return this.#candidates().sort((one, other) => rank(one) - rank(other));
  }

  async #ask({ endpoint, url }: Candidate, request: RegistryRequest): Promise<HttpResponse> {
    const plain = (to: URL): Promise<HttpResponse> => this.#sender.sendPlain(to, request, endpoint);
    if (url !== undefined)
      return await this.#expectBytes(await followRedirects(await plain(url), this.#operation, plain), request);

    const remembered = await this.#askRemembered(endpoint, request);
    if (remembered !== undefined) return await this.#expectBytes(remembered, request);

    for (let round = 1; ; round++) {
      const first = await this.#sender.send(endpoint, request);
      if (!isRedirect(first.status)) return await this.#expectBytes(first, request);
      const response = await followRedirects(first, this.#operation, (to) =>
        this.#sender.sendTo(endpoint, request, to),
      );
      // The signature may have expired on the way.
      if ((response.status === 401 || response.status === 403) && round < maxResolutions) {
        await response.body.drain();
        continue;
      }
      this.#remember(endpoint, response);
      return await this.#expectBytes(response, request);
    }
  }

  /** The response from the remembered redirect; undefined if that has expired or fails. */
  async #askRemembered(endpoint: Endpoint, request: RegistryRequest): Promise<HttpResponse | undefined> {
    const location = this.#locations.get(endpoint.id);
    // A signature may be valid for one method only.
    if (location === undefined || request.method === 'HEAD') return undefined;
    if (location.expiresAtMs - expiryMarginMs > this.#sender.transport.clock.now()) {
      try {
        const response = await this.#sender.sendPlain(location.url, request, endpoint);
        const { status } = response;
        if (status < 300 || status === 416 || status === 429 || status >= 500) return response;
        await response.body.drain();
      } catch (error) {
        request.signal.throwIfAborted();
        if (!isRetryableError(error)) throw error;
      }
    }
    if (this.#locations.get(endpoint.id) === location) this.#locations.delete(endpoint.id);
    return undefined;
  }

  #remember(endpoint: Endpoint, response: HttpResponse): void {
    if (response.status !== 200 && response.status !== 206) return;
    if (response.url.host === endpoint.authority) return;
    this.#locations.set(endpoint.id, {
      url: response.url,
      expiresAtMs: expiryOf(response.url) ?? Number.POSITIVE_INFINITY,
    });
  }

  async #expectBytes(response: HttpResponse, request: RegistryRequest): Promise<HttpResponse> {
    const { status } = response;
    if (status === 200 || status === 206 || status === 416) return response;
    const isSuffix = request.headers?.range?.startsWith('bytes=-') === true;
    if (isSuffix && (status === 400 || status === 405 || status === 501)) return response;
    throw await statusError(response, this.#operation, this.#sender.transport.clock.now());
  }
}

/** Two URLs on one host count as two servers, both distinct from that host as a registry. */
function serverOf({ endpoint, url }: Candidate): string {
  return url === undefined ? endpoint.id : `${url.host}${url.pathname}`;
}
