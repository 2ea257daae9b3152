import type { HttpResponse } from './connections.ts';
import { type Digest, digestOf } from './digest.ts';
import { RegistryError } from './error.ts';
import { followRedirects, locationOf } from './redirect.ts';
import { formatReference, manifestName, type Reference } from './reference.ts';
import { isRetryableError, isRetryableStatus } from './retry.ts';
import type { RegistryRequest, Sender } from './sender.ts';
import { headerText, statusError } from './transport.ts';

export interface BlobUpload {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Called once per attempt; must yield exactly `sizeBytes`. */
  readonly open: () => AsyncIterable<Uint8Array>;
}

export interface PushedManifest {
  readonly digest: Digest;
  /** The registry lists it as a referrer of its `subject` (OCI distribution-spec, "Pushing Manifests with Subject"). */
  readonly listsSubject: boolean;
}

/** Writes to registries, always to the one server with the push capability. */
export class Pusher {
  readonly #sender: Sender;

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /**
   * Whether the registry says that it has the blob. This only saves a push, so a refusal (HEAD not allowed, no pull access
   * to a repository that does not exist yet) counts as no.
   */
  async hasBlob(reference: Reference, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const operation = `look for blob ${digest} in ${nameOf(reference)}`;
    const target = `/${reference.repository}/blobs/${digest}`;
    return await optional(signal, async () => {
      const request = this.#request(reference, operation, signal);
      const response = await this.#sender.expectOk(this.#sender.pushEndpoint(reference.registry), {
        ...request,
        method: 'HEAD',
        target,
        maxRetries: maxOptionalRetries,
      });
      await response.body.drain();
      const stored = headerText(response.headers, 'docker-content-digest');
      return response.status === 200 && (stored === undefined || stored === digest);
    });
  }

  /** Mounts a blob from another repository; false if the registry refuses for any reason. */
  async mountBlob(reference: Reference, digest: Digest, fromRepository: string, signal: AbortSignal): Promise<boolean> {
    const operation = `mount blob ${digest} from ${fromRepository} into ${nameOf(reference)}`;
    return await optional(signal, async () => {
      const response = await this.#start(reference, operation, signal, { digest, fromRepository });
      if (response.status === 201) return true;
      await this.#cancel(reference, operation, uploadOf(response, operation), signal);
      return false;
    });
  }

  /** Sends a blob in one piece (POST, then PUT); a failed PUT starts over with a new upload. */
  async pushBlob(reference: Reference, blob: BlobUpload, signal: AbortSignal): Promise<void> {
    const operation = `push blob ${blob.digest} to ${nameOf(reference)}`;
    const { transport } = this.#sender;
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt > transport.retry.maxRetries;
      // Retries on its own; its failure is final.
      const upload = uploadOf(await this.#start(reference, operation, signal), operation);
      try {
        const response = await this.#finish(reference, operation, upload, blob, signal);
        if (response.status < 300) return await response.body.drain();
        const error = await statusError(response, operation, transport.clock.now());
        // 404 and 401 mean that the upload or the token expired meanwhile.
        const isPassing = isRetryableStatus(response.status) || response.status === 404 || response.status === 401;
        if (isLast || !isPassing) throw error;
      } catch (error) {
        if (isLast || !isRetryableError(error)) throw error;
      }
      await transport.wait(attempt, signal);
    }
  }

  /** Puts a manifest under the tag (or digest) of the reference. */
  async pushManifest(
    reference: Reference,
    mediaType: string,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<PushedManifest> {
    const operation = `push manifest ${formatReference(reference)}`;
    const digest = digestOf(bytes);
    if (reference.digest !== undefined && reference.digest !== digest) {
      throw new RegistryError('digest-mismatch', `the manifest has digest ${digest}`, { operation });
    }
    const name = reference.tag ?? manifestName(reference);
    const request = this.#request(reference, operation, signal);
    const response = await this.#sender.expectOk(this.#sender.pushEndpoint(reference.registry), {
      ...request,
      method: 'PUT',
      target: `/${reference.repository}/manifests/${name}`,
      headers: { 'content-type': mediaType },
      body: bytes,
    });
    await response.body.drain();
    const stored = headerText(response.headers, 'docker-content-digest');
    if (stored?.startsWith('sha256:') !== true || stored === digest)
      return { digest, listsSubject: headerText(response.headers, 'oci-subject') !== undefined };
    throw new RegistryError('digest-mismatch', `the registry stored ${stored} instead of ${digest}`, {
      operation,
      host: response.url.host,
    });
  }

  /** False if the registry refuses for any reason: many delete nothing. */
  async deleteManifest(reference: Reference, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const operation = `delete manifest ${digest} of ${nameOf(reference)}`;
    return await optional(signal, async () => {
      const response = await this.#sender.expectOk(this.#sender.pushEndpoint(reference.registry), {
        ...this.#request(reference, operation, signal),
        method: 'DELETE',
        target: `/${reference.repository}/manifests/${digest}`,
        actions: 'pull,push,delete',
        maxRetries: maxOptionalRetries,
      });
      await response.body.drain();
      return true;
    });
  }

  /** Begins an upload, or mounts the blob instead if asked to and allowed. */
  async #start(
    reference: Reference,
    operation: string,
    signal: AbortSignal,
    mount?: { readonly digest: Digest; readonly fromRepository: string },
  ): Promise<HttpResponse> {
    const query =
      mount === undefined ? '' : `?${new URLSearchParams({ mount: mount.digest, from: mount.fromRepository })}`;
    const request = this.#request(reference, operation, signal);
    const response = await this.#sender.expectOk(this.#sender.pushEndpoint(reference.registry), {
      ...request,
      method: 'POST',
      target: `/${reference.repository}/blobs/uploads/${query}`,
      headers: { 'content-length': '0' },
      ...(mount === undefined
        ? {}
        : { extraScopes: [`repository:${mount.fromRepository}:pull`], maxRetries: maxOptionalRetries }),
    });
    await response.body.drain();
    return response;
  }

  async #finish(
    reference: Reference,
    operation: string,
    upload: URL,
    blob: BlobUpload,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const target = new URL(upload);
    target.searchParams.set('digest', blob.digest);
    const endpoint = this.#sender.pushEndpoint(reference.registry);
    const request: RegistryRequest = {
      ...this.#request(reference, operation, signal),
      method: 'PUT',
      target,
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(blob.sizeBytes) },
      body: blob.open,
      // A partial body may have spoilt the upload, so pushBlob starts over.
      maxRetries: 0,
    };
    const send = (url: URL): Promise<HttpResponse> => this.#sender.sendTo(endpoint, request, url);
    return await followRedirects(await send(target), operation, send);
  }

  /** An unfinished upload would stay in the registry until it is purged. Failing to cancel it does no harm. */
  async #cancel(reference: Reference, operation: string, upload: URL, signal: AbortSignal): Promise<void> {
    const request = this.#request(reference, operation, signal);
    const endpoint = this.#sender.pushEndpoint(reference.registry);
    try {
      const cancel: RegistryRequest = { ...request, method: 'DELETE', target: upload, maxRetries: 0 };
      const response = await this.#sender.sendTo(endpoint, cancel, upload);
      await response.body.drain();
    } catch {
      signal.throwIfAborted();
    }
  }

  #request(reference: Reference, operation: string, signal: AbortSignal): Omit<RegistryRequest, 'method' | 'target'> {
    // For HEAD as well: a token service may grant this but refuse `pull` alone for a repository that does not exist yet.
    return { reference, operation, signal, actions: 'pull,push', kind: 'upload' };
  }
}

/** For requests that only save work. */
const maxOptionalRetries = 1;

/** False on any RegistryError; rejects with signal.reason on abort. */
async function optional(signal: AbortSignal, ask: () => Promise<boolean>): Promise<boolean> {
  try {
    return await ask();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof RegistryError) return false;
    throw error;
  }
}

/** The upload's URL. */
function uploadOf(response: HttpResponse, operation: string): URL {
  const { status, url } = response;
  if (status === 202) return locationOf(response, operation);
  throw new RegistryError('protocol', `HTTP ${status} where an upload should begin`, {
    operation,
    host: url.host,
    status,
  });
}

function nameOf(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}
