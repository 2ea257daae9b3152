import type { Digest } from './digest.ts';

/** One blob, read by ranges over whatever servers have it. */
export interface BlobSource {
  readonly digest: Digest;
  /** The last `lengthBytes` bytes (all of a smaller blob), where they begin, and the blob's size. */
  fetchSuffix(lengthBytes: number, signal: AbortSignal): Promise<BlobSuffix>;
  /**
   * Bytes [start, end) in order, exactly; a body that stops early is taken up again from where it broke. The Buffers
   * are the network's own: use or copy each before asking for the next. Not verified. `onServer` is told who gives what
   * comes from then on, before the first byte and whenever another server takes over.
   */
  fetchRange(
    start: number,
    end: number,
    signal: AbortSignal,
    onServer?: (server: string) => void,
  ): AsyncIterable<Buffer>;
  /**
   * Tells that bytes from these servers failed their digest. One server alone is passed over from now on while others are
   * left, by this blob and, for a while, by all. Of several at least one is to blame, and asking once more may tell
   * which. Returns whether asking again can bring other bytes; false after every server was to blame, and then all are
   * asked again.
   */
  distrust(servers: ReadonlySet<string>): boolean;
}

export interface BlobSuffix {
  readonly bytes: Buffer;
  readonly offset: number;
  readonly blobSizeBytes: number;
  /** Who gave the bytes; for `distrust`. */
  readonly servers: ReadonlySet<string>;
}

/**
 * Tells the source of wrong bytes, as `distrust`, for a reader that keeps in `blamed` whom it has told of. False as well
 * where these servers gave wrong bytes before: they come up again only because the others failed.
 */
export function distrustOnce(source: BlobSource, servers: ReadonlySet<string>, blamed: Set<string>): boolean {
  const who = [...servers].sort().join(' ');
  const isNew = !blamed.has(who);
  blamed.add(who);
  return source.distrust(servers) && isNew && blamed.size <= maxBlamed;
}

/** Several servers may share the blame, in many combinations. */
const maxBlamed = 8;
