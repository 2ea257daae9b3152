import { Authorizer } from './authorizer.ts';
import { type BlobSource, RegistryBlob } from './blob.ts';
import { type Digest, digestOf } from './digest.ts';
import { RegistryError } from './error.ts';
import { defaultRequestTimeoutMs, endpointsOf, type HostLookup, type HostOptions } from './host.ts';
import { type Keychain, type KeychainFailure, keychainChain } from './keychain.ts';
import { manifestMediaTypes, mediaTypes } from './manifest.ts';
import { type BlobUpload, Pusher } from './push.ts';
import { formatReference, manifestName, type Reference } from './reference.ts';
import { type RegistryRequest, retriesBefore, Sender, type WrongBytes } from './sender.ts';
import { headerText, Transport, type TransportOptions } from './transport.ts';

export interface RegistryClientOptions extends TransportOptions {
  /** Asked in order whenever a registry wants to know who we are. */
  readonly keychains?: readonly Keychain[];
  readonly onKeychainFailure?: (failure: KeychainFailure) => void;
  /** By registry as people write it (`docker.io`, `localhost:5000`), or who knows them; asked for every request. */
  readonly hosts?: Readonly<Record<string, HostOptions>> | HostLookup;
  /** A server gave bytes that do not have the digest asked for, and is asked last for a while. */
  readonly onWrongBytes?: (report: WrongBytes) => void;
  /** For every server whose own options name none; 0: no limit. */
  readonly requestTimeoutMs?: number;
}

export interface FetchedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

const maxManifestBytes = 8 * 1024 * 1024;

/** Registries, read and written: one for a whole process, since connections and tokens are shared through it. */
export class RegistryClient {
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;
  readonly #sender: Sender;
  readonly #pusher: Pusher;

  /** Throws RegistryError `invalid-host` for a server's address that cannot be used. */
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
  }

  /**
   * Manifest or index, verified against the reference's digest or the one the registry states; a server whose answer does
   * not have it is passed over.
   */
  async fetchManifest(reference: Reference, signal: AbortSignal): Promise<FetchedManifest> {
    const operation = `fetch manifest ${formatReference(reference)}`;
    const request: RegistryRequest = {
      reference,
      method: 'GET',
      target: `/${reference.repository}/manifests/${manifestName(reference)}`,
      headers: { accept: manifestMediaTypes.join(', ') },
      actions: 'pull',
      kind: 'manifest',
      operation,
      signal,
    };
    const candidates = this.#sender.pullOrder(reference, reference.digest === undefined ? 'resolve' : 'pull');
    return await this.#sender.firstOf(candidates, operation, signal, async ({ endpoint }, isLast) => {
      const send = () => this.#sender.expectOk(endpoint, { ...request, ...retriesBefore(isLast) });
      const { response, bytes } = await this.#transport.readWhole(send, maxManifestBytes, signal);
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

  /** A blob to read by ranges; nothing is asked of the registry yet. `urls`: of its descriptor, tried last. */
  blob(reference: Reference, digest: Digest, urls: readonly string[] = []): BlobSource {
    return new RegistryBlob(this.#sender, reference, digest, urls);
  }

  /**
   * The whole blob in order; its digest is verified at the end, and `digest-mismatch` thrown there, naming the server. That
   * one is asked last from then on, so another call may fare better. `urls`: of its descriptor, tried last.
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
   * A small blob as a whole. Where a server gives wrong bytes, or more than `limitBytes`, the next is asked; throws
   * `digest-mismatch` or `too-large` once all have.
   */
  async readBlob(reference: Reference, digest: Digest, limitBytes: number, signal: AbortSignal): Promise<Buffer> {
    return await new RegistryBlob(this.#sender, reference, digest).readVerified(limitBytes, signal);
  }

  hasBlob(reference: Reference, digest: Digest, signal: AbortSignal): Promise<boolean> {
    return this.#pusher.hasBlob(reference, digest, signal);
  }

  pushBlob(reference: Reference, blob: BlobUpload, signal: AbortSignal): Promise<void> {
    return this.#pusher.pushBlob(reference, blob, signal);
  }

  /** True when the registry linked the blob from another of its repositories; false when it would not. */
  mountBlob(reference: Reference, digest: Digest, fromRepository: string, signal: AbortSignal): Promise<boolean> {
    return this.#pusher.mountBlob(reference, digest, fromRepository, signal);
  }

  pushManifest(reference: Reference, mediaType: string, bytes: Uint8Array, signal: AbortSignal): Promise<Digest> {
    return this.#pusher.pushManifest(reference, mediaType, bytes, signal);
  }

  /** Ends all connections; what is under way fails. */
  async close(): Promise<void> {
    this.#authorizer.close();
    await this.#transport.close();
  }
}

/** Proxies answer with pages of their own; where no digest tells them apart, another server may have the manifest. */
function isJsonObject(bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
