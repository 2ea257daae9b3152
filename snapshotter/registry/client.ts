import { Authorizer } from './authorizer.ts';
import { type BlobSource, RegistryBlob } from './blob.ts';
import type { HttpResponse } from './connections.ts';
import { type Digest, digestOf, isDigest } from './digest.ts';
import { RegistryError } from './error.ts';
import { defaultRequestTimeoutMs, endpointsOf, type HostLookup, type HostOptions } from './host.ts';
import { type Keychain, type KeychainFailure, keychainChain } from './keychain.ts';
import { manifestMediaTypes, mediaTypes } from './manifest.ts';
import { type BlobUpload, Pusher } from './push.ts';
import { parseRateLimit, type RateLimit } from './rate-limit.ts';
import { type Artifact, type PublishedArtifact, ReferrerPublisher } from './referrer-push.ts';
import { formatReference, manifestName, type Reference } from './reference.ts';
import { type Referrer, type ReferrerQuery, ReferrerReader } from './referrers.ts';
import { type RegistryRequest, retriesBefore, Sender, type WrongBytes } from './sender.ts';
import { headerText, Transport, type TransportOptions } from './transport.ts';
import { readVerified } from './verified-blob.ts';

export interface RegistryClientOptions extends TransportOptions {
  /** Asked in order when a registry requires credentials. */
  readonly keychains?: readonly Keychain[];
  readonly onKeychainFailure?: (failure: KeychainFailure) => void;
  /** By registry name as in references (`docker.io`, `localhost:5000`), or a function that is called for every request. */
  readonly hosts?: Readonly<Record<string, HostOptions>> | HostLookup;
  /** Called when a server gave bytes that failed their digest; it is asked last for a while. */
  readonly onWrongBytes?: (report: WrongBytes) => void;
  /** For servers whose own options name none; 0: no limit. */
  readonly requestTimeoutMs?: number;
}

export interface FetchedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** What a registry says of a manifest without sending it. */
export interface ManifestHead {
  /** Undefined where the registry does not state it. */
  readonly digest: Digest | undefined;
  readonly mediaType: string;
  /** Undefined where the registry limits nothing, or does not say so. */
  readonly rateLimit: RateLimit | undefined;
}

const maxManifestBytes = 8 * 1024 * 1024;

/** Reads from and writes to registries. One per process: connections and tokens are shared through it. */
export class RegistryClient {
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;
  readonly #sender: Sender;
  readonly #pusher: Pusher;
  readonly #referrers: ReferrerReader;

  /** Throws RegistryError `invalid-host` if the address of a server cannot be used. */
  constructor(options: RegistryClientOptions = {}) {
    this.#transport = new Transport(options);
    const keychain = keychainChain(options.keychains ?? [], options.onKeychainFailure);
    this.#authorizer = new Authorizer(this.#transport, keychain);
    const { hosts = {}, requestTimeoutMs = defaultRequestTimeoutMs } = options;
    const lookup: HostLookup =
      typeof hosts === 'function'
        ? hosts
        : (registry) => (Object.hasOwn(hosts, registry) ? hosts[registry] : undefined);
    if (typeof hosts === 'object') {
      for (const [registry, host] of Object.entries(hosts)) endpointsOf(registry, requestTimeoutMs, host);
    }
    const onWrongBytes = options.onWrongBytes ?? (() => {});
    this.#sender = new Sender(this.#transport, this.#authorizer, lookup, requestTimeoutMs, onWrongBytes);
    this.#pusher = new Pusher(this.#sender);
    this.#referrers = new ReferrerReader(this.#sender);
  }

  /**
   * Manifest or index, verified against the digest of the reference or the one the registry states. A server whose
   * response does not have that digest is passed over.
   */
  async fetchManifest(reference: Reference, signal: AbortSignal): Promise<FetchedManifest> {
    const operation = `fetch manifest ${formatReference(reference)}`;
    const request = manifestRequest(reference, 'GET', operation, signal);
    const candidates = this.#sender.pullOrder(reference, reference.digest === undefined ? 'resolve' : 'pull');
    return await this.#sender.firstOf(candidates, operation, signal, async ({ endpoint }, isLast) => {
      const send = () => this.#sender.expectOk(endpoint, { ...request, ...retriesBefore(isLast) });
      const read = () => this.#transport.readWhole(send, maxManifestBytes, signal);
      let { response, bytes } = await read();
      if (bytes !== undefined && isUnframed(response) && !isJsonObject(bytes)) ({ response, bytes } = await read());
      const { host } = response.url;
      if (bytes === undefined) {
        throw new RegistryError('too-large', `more than ${maxManifestBytes} bytes`, { operation, host });
      }
      if (response.status !== 200 || !isJsonObject(bytes)) {
        const detail = `HTTP ${response.status} with ${bytes.length} bytes that are no manifest`;
        throw new RegistryError('protocol', detail, { operation, host, status: response.status });
      }
      const digest = digestOf(bytes);
      const expected = reference.digest ?? headerText(response.headers, 'docker-content-digest');
      if (expected?.startsWith('sha256:') === true && expected !== digest) {
        this.#sender.distrust(endpoint.id, operation);
        throw new RegistryError('digest-mismatch', `expected ${expected}, got ${digest}`, { operation, host });
      }
      const contentType = headerText(response.headers, 'content-type')?.split(';')[0]?.trim();
      return { digest, mediaType: contentType ?? mediaTypes.ociManifest, bytes };
    });
  }

  /** HEAD of a manifest or index, which Docker Hub does not count as a pull. Throws `not-found` where there is none. */
  async headManifest(reference: Reference, signal: AbortSignal): Promise<ManifestHead> {
    const operation = `look for manifest ${formatReference(reference)}`;
    const request = manifestRequest(reference, 'HEAD', operation, signal);
    const candidates = this.#sender.pullOrder(reference, reference.digest === undefined ? 'resolve' : 'pull');
    return await this.#sender.firstOf(candidates, operation, signal, async ({ endpoint }, isLast) => {
      const { headers, body } = await this.#sender.expectOk(endpoint, { ...request, ...retriesBefore(isLast) });
      await body.drain();
      const digest = headerText(headers, 'docker-content-digest');
      return {
        digest: digest !== undefined && isDigest(digest) ? digest : undefined,
        mediaType: headerText(headers, 'content-type')?.split(';')[0]?.trim() ?? mediaTypes.ociManifest,
        rateLimit: parseRateLimit(headers),
      };
    });
  }

  /** A blob to read by ranges; sends no request yet. `urls`: those of its descriptor, tried last. */
  blob(reference: Reference, digest: Digest, urls: readonly string[] = []): BlobSource {
    return new RegistryBlob(this.#sender, reference, digest, urls);
  }

  /**
   * The whole blob in order. Its digest is verified at the end; `digest-mismatch` names the server, which is asked last
   * from then on, so that a second call may succeed. `urls`: those of its descriptor, tried last.
   */
  fetchBlob(
    reference: Reference,
    digest: Digest,
    signal: AbortSignal,
    urls: readonly string[] = [],
  ): AsyncIterable<Buffer> {
    return new RegistryBlob(this.#sender, reference, digest, urls).fetchWhole(signal);
  }

  /**
   * A small blob in memory. A server that sends wrong bytes, or more than `limitBytes`, is passed over; throws
   * `digest-mismatch` or `too-large` once all have done so.
   */
  async readBlob(reference: Reference, digest: Digest, limitBytes: number, signal: AbortSignal): Promise<Buffer> {
    return await readVerified(new RegistryBlob(this.#sender, reference, digest), limitBytes, signal);
  }

  hasBlob(reference: Reference, digest: Digest, signal: AbortSignal): Promise<boolean> {
    return this.#pusher.hasBlob(reference, digest, signal);
  }

  pushBlob(reference: Reference, blob: BlobUpload, signal: AbortSignal): Promise<void> {
    return this.#pusher.pushBlob(reference, blob, signal);
  }

  /** True if the registry mounted the blob from another of its repositories; false if it would not. */
  mountBlob(reference: Reference, digest: Digest, fromRepository: string, signal: AbortSignal): Promise<boolean> {
    return this.#pusher.mountBlob(reference, digest, fromRepository, signal);
  }

  async pushManifest(reference: Reference, mediaType: string, bytes: Uint8Array, signal: AbortSignal): Promise<Digest> {
    return (await this.#pusher.pushManifest(reference, mediaType, bytes, signal)).digest;
  }

  /** Artifacts of one type that refer to a manifest; see `ReferrerReader.find`. */
  findReferrers(query: ReferrerQuery, signal: AbortSignal): Promise<readonly Referrer[]> {
    return this.#referrers.find(query, signal);
  }

  /** Pushes an artifact that refers to an image, in place of earlier ones of its type. */
  publishArtifact(artifact: Artifact, signal: AbortSignal): Promise<PublishedArtifact> {
    return new ReferrerPublisher(this.#sender, this.#pusher, this.#referrers).publish(artifact, signal);
  }

  /** Closes all connections; requests under way fail. */
  async close(): Promise<void> {
    this.#authorizer.close();
    await this.#transport.close();
  }
}

/** Whether the body ended with its connection: one that breaks off then looks complete. */
function isUnframed({ headers }: HttpResponse): boolean {
  return headers['content-length'] === undefined && headers['transfer-encoding'] === undefined;
}

/** Tells manifests from the HTML pages of proxies where no digest does. */
function isJsonObject(bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

function manifestRequest(
  reference: Reference,
  method: 'GET' | 'HEAD',
  operation: string,
  signal: AbortSignal,
): RegistryRequest {
  return {
    reference,
    method,
    target: `/${reference.repository}/manifests/${manifestName(reference)}`,
    headers: { accept: manifestMediaTypes.join(', ') },
    actions: 'pull',
    kind: 'manifest',
    operation,
    signal,
  };
}
