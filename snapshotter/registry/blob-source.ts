import type { Digest } from './digest.ts';

/** One blob, read by ranges from any of the servers that have it. */
export interface BlobSource {
  readonly digest: Digest;
  /** The last `lengthBytes` bytes (all of a smaller blob), where they begin, and the blob's size. */
  fetchSuffix(lengthBytes: number, signal: AbortSignal): Promise<BlobSuffix>;
  /**
   * Exactly the bytes [start, end), in order; resumes where a body stops early. The Buffers belong to the network: use or
   * copy each before taking the next. Not verified. `onServer` is called with the server that the following bytes come
   * from: before the first byte and whenever another server takes over.
   */
  fetchRange(
    start: number,
    end: number,
    signal: AbortSignal,
    onServer?: (server: string) => void,
  ): AsyncIterable<Buffer>;
  /**
   * Reports that bytes from these servers failed their digest. A single server is passed over from now on, by this blob
   * while others are left and by all blobs for a while. Of several servers it is not known which is at fault, and a
   * second request may tell. Returns whether another request can bring other bytes: false once every server has given
   * wrong bytes, after which all are asked again.
   */
  distrust(servers: ReadonlySet<string>): boolean;
}

export interface BlobSuffix {
  readonly bytes: Buffer;
  readonly offset: number;
  readonly blobSizeBytes: number;
  /** The servers that the bytes came from, for `distrust`. */
  readonly servers: ReadonlySet<string>;
}

/**
 * `source.distrust` for a reader that retries: `blamed` holds the servers it has reported before. Returns false also if
 * these are among them, since they were asked again only because the others failed.
 */
export function distrustOnce(source: BlobSource, servers: ReadonlySet<string>, blamed: Set<string>): boolean {
  const who = [...servers].sort().join(' ');
  const isNew = !blamed.has(who);
  blamed.add(who);
  return source.distrust(servers) && isNew && blamed.size <= maxBlamed;
}

/** Bounds the combinations of servers that can share a piece. */
const maxBlamed = 8;
