/**
 * Manifests that refer to another by their `subject` (OCI distribution-spec 1.1, "Listing Referrers"). A registry without that
 * API has them in an index under a tag, which clients keep ("Referrers Tag Schema").
 */
import type { HttpResponse } from './connections.ts';
import { type Digest, digestHex, digestOf } from './digest.ts';
import { RegistryError } from './error.ts';
import type { Endpoint } from './host.ts';
import { type Descriptor, type ImageIndex, mediaTypes, parseManifest } from './manifest.ts';
import { formatReference, type Reference } from './reference.ts';
import type { RegistryRequest, Sender } from './sender.ts';
import { headerText } from './transport.ts';

export interface Referrer extends Descriptor {
  readonly artifactType?: string;
}

/** Under the tag, or as the API answers. */
export interface ReferrerIndex extends ImageIndex {
  readonly manifests: readonly Referrer[];
}

export interface ReferrerQuery {
  /** The image, whose repository and credentials are used. */
  readonly reference: Reference;
  readonly subject: Digest;
  readonly artifactType: string;
}

const maxListBytes = 4 * 1024 * 1024;
/** Of a list in pages; one page has hundreds of entries. */
const maxPages = 4;
/** A registry may be replaced by a newer one. */
const absentApiMs = 3_600_000;

export class ReferrerReader {
  readonly #sender: Sender;
  /** By server: until when its API counts as absent, or 'present'. */
  readonly #api = new Map<string, number | 'present'>();

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /**
   * For a lookup that nothing depends on: each server is asked once, the API and the tag at the same time where it is not
   * known which of them it has, and its failure does not count against it. Throws RegistryError once all have failed.
   */
  async find(query: ReferrerQuery, signal: AbortSignal): Promise<readonly Referrer[]> {
    let failure: unknown;
    for (const { endpoint } of this.#sender.pullOrder(query.reference, 'resolve')) {
      try {
        return await this.#findAt(endpoint, query, signal);
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
      }
    }
    throw failure;
  }

  async #findAt(endpoint: Endpoint, query: ReferrerQuery, signal: AbortSignal): Promise<readonly Referrer[]> {
    const once = { maxRetries: 0 };
    const readTag = (): Promise<ReferrerIndex | undefined> => this.readTag(endpoint, query, signal, once);
    const known = this.#knownApi(endpoint);
    const early = known === undefined ? readTag() : undefined;
    early?.catch(() => {});
    const listed = known === 'absent' ? undefined : await this.listByApi(endpoint, query, signal, once);
    if (listed !== undefined) return listed;
    return ofType((await (early ?? readTag()))?.manifests ?? [], query.artifactType);
  }

  /** Undefined from a server that has no such API. */
  async listByApi(
    endpoint: Endpoint,
    query: ReferrerQuery,
    signal: AbortSignal,
    limits: Pick<RegistryRequest, 'maxRetries'> = {},
  ): Promise<readonly Referrer[] | undefined> {
    const { reference, subject, artifactType } = query;
    const type = new URLSearchParams({ artifactType });
    const request = {
      ...this.#request(query, `list referrers of ${subject} in ${nameOf(reference)}`, signal),
      headers: { accept: mediaTypes.ociIndex },
      ...limits,
    };
    const found: Referrer[] = [];
    let target: string | URL | undefined = `/${reference.repository}/referrers/${subject}?${type}`;
    for (let page = 0; target !== undefined && page < maxPages; page++) {
      try {
        const { index, response } = await this.#read(endpoint, { ...request, target });
        found.push(...ofType(index.manifests, artifactType));
        target = nextPage(response);
      } catch (error) {
        if (page > 0 || !saysAbsent(error)) throw error;
        this.#api.set(endpoint.id, this.#sender.transport.clock.now() + absentApiMs);
        return undefined;
      }
    }
    this.#api.set(endpoint.id, 'present');
    return found;
  }

  /** The index under the tag, of all artifact types; undefined if there is no such tag. */
  async readTag(
    endpoint: Endpoint,
    query: ReferrerQuery,
    signal: AbortSignal,
    limits: Pick<RegistryRequest, 'maxRetries'> = {},
  ): Promise<ReferrerIndex | undefined> {
    const tagged = referrersTag(query);
    const request: RegistryRequest = {
      ...this.#request(query, `fetch referrers ${formatReference(tagged)}`, signal),
      target: `/${tagged.repository}/manifests/${tagged.tag}`,
      headers: { accept: mediaTypes.ociIndex },
      ...limits,
    };
    try {
      return (await this.#read(endpoint, request)).index;
    } catch (error) {
      if (error instanceof RegistryError && error.code === 'not-found') return undefined;
      throw error;
    }
  }

  #knownApi({ id }: Endpoint): 'present' | 'absent' | undefined {
    const known = this.#api.get(id);
    if (known === undefined || known === 'present') return known;
    return known > this.#sender.transport.clock.now() ? 'absent' : undefined;
  }

  #request({ reference }: ReferrerQuery, operation: string, signal: AbortSignal): Omit<RegistryRequest, 'target'> {
    return { reference, method: 'GET', actions: 'pull', kind: 'manifest', operation, signal };
  }

  async #read(
    endpoint: Endpoint,
    request: RegistryRequest,
  ): Promise<{ readonly response: HttpResponse; readonly index: ReferrerIndex }> {
    const send = (): Promise<HttpResponse> => this.#sender.expectOk(endpoint, request);
    const { operation, signal, maxRetries } = request;
    const { response, bytes } = await this.#sender.transport.readWhole(send, maxListBytes, signal, maxRetries);
    const { host } = response.url;
    if (bytes === undefined)
      throw new RegistryError('too-large', `more than ${maxListBytes} bytes`, { operation, host });
    const stated = headerText(response.headers, 'docker-content-digest');
    if (stated?.startsWith('sha256:') === true && stated !== digestOf(bytes))
      throw new RegistryError('digest-mismatch', `expected ${stated}, got ${digestOf(bytes)}`, { operation, host });
    const parsed = parseManifest(bytes, mediaTypes.ociIndex);
    if (parsed.kind === 'index') return { response, index: parsed.index };
    throw new RegistryError('protocol', 'a manifest, where an index of referrers should be', { operation, host });
  }
}

/** Where a registry without the API has the referrers of a manifest. */
export function referrersTag({ reference, subject }: Omit<ReferrerQuery, 'artifactType'>): Reference {
  const { registry, repository } = reference;
  return { registry, repository, tag: `sha256-${digestHex(subject)}` };
}

/** The filter of the API is optional for a registry. */
function ofType(referrers: readonly Referrer[], artifactType: string): Referrer[] {
  return referrers.filter((referrer) => referrer.artifactType === artifactType);
}

const absentCodes: readonly RegistryError['code'][] = ['not-found', 'refused', 'protocol'];

/** A server that does not know the path; some refuse it as malformed or not allowed, or send a page for browsers. */
function saysAbsent(error: unknown): boolean {
  return error instanceof RegistryError && absentCodes.includes(error.code);
}

/** RFC 8288. A page on another host is not followed: it would get the credentials of this one. */
function nextPage({ headers, url }: HttpResponse): URL | undefined {
  const target = /<([^>]*)>\s*;\s*rel="?next"?/i.exec(headerText(headers, 'link') ?? '')?.[1];
  if (target === undefined || !URL.canParse(target, url.href)) return undefined;
  const next = new URL(target, url);
  return next.origin === url.origin ? next : undefined;
}

function nameOf({ registry, repository }: Reference): string {
  return `${registry}/${repository}`;
}
