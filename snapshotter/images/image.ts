/** An image to read from or to write to, wherever it is kept. */
import type { FetchedManifest } from '../registry/client.ts';
import type { Digest } from '../registry/digest.ts';
import type { Descriptor } from '../registry/manifest.ts';
import type { BlobUpload } from '../registry/push.ts';

/** Every blob is verified by its digest; failures are RegistryError or ImageError. */
export interface ImageSource {
  /** For messages. */
  readonly name: string;
  /** The image's manifest or index; with a digest, one that the index names. */
  fetchManifest(digest: Digest | undefined, signal: AbortSignal): Promise<FetchedManifest>;
  /** A small blob in memory. */
  readBlob(digest: Digest, limitBytes: number, signal: AbortSignal): Promise<Buffer>;
  /** In order; the digest is verified at the end. */
  fetchBlob(descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Buffer>;
  /** Bytes [start, end) of a blob, at most its size. Not verified: the caller knows the digest of what it reads. */
  readRange(descriptor: Descriptor, start: number, end: number, signal: AbortSignal): Promise<Buffer>;
  close(): Promise<void>;
}

export interface ImageTarget {
  readonly name: string;
  /** `registry/repository`, if blobs can be mounted from the registry's other repositories. */
  readonly repository?: string;
  /** False for formats that hold one platform only. */
  readonly takesIndex: boolean;
  hasBlob(digest: Digest, signal: AbortSignal): Promise<boolean>;
  /** False if there is no such blob or the target cannot do it. `from`: a `repository` of another target. */
  mountBlob(digest: Digest, from: string, signal: AbortSignal): Promise<boolean>;
  pushBlob(blob: BlobUpload, signal: AbortSignal): Promise<void>;
  /** A manifest that an index will name. */
  pushManifest(mediaType: string, bytes: Buffer, signal: AbortSignal): Promise<Digest>;
  /** The manifest or index of the image itself, after everything that it names. */
  tag(mediaType: string, bytes: Buffer, signal: AbortSignal): Promise<Digest>;
  /** Removes what was written for an image that was not tagged. */
  close(): Promise<void>;
}
