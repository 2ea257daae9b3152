import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What the daemon says of itself: `status.json` in its root, rewritten whenever a layer is mounted lazily or a field
 * outside `counters` changes; and `/debug/status` where it serves metrics, which is current. Within a schema version
 * fields are added, never changed. docs/debugging.md describes each. `null`: there is none.
 */
export interface StatusDocument {
  readonly schemaVersion: 1;
  /** ISO 8601, as all times here. The file's counters are of this moment. */
  readonly writtenAt: string;
  /** A daemon that was killed leaves the state it was in: check that `pid` is alive. */
  readonly state: 'starting' | 'serving' | 'stopping' | 'stopped';
  readonly version: string;
  /** Of the source tree it runs from; null where that is neither a clone nor an image that recorded it. */
  readonly commit: string | null;
  readonly pid: number;
  readonly startedAt: string;
  /** `options`: Node's and V8's, as given on the command line. */
  readonly node: { readonly version: string; readonly options: readonly string[] };
  readonly root: string;
  readonly logLevel: string;
  readonly config: { readonly path: string; readonly warnings: readonly string[] };
  /** Sockets by path, metrics by host:port. `cri` only where the image service has a socket of its own. */
  readonly listening: { readonly grpc: string | null; readonly cri: string | null; readonly metrics: string | null };
  readonly face: FaceStatus | null;
  readonly keeper: KeeperStatus;
  readonly descriptorStore: DescriptorStoreStatus;
  readonly counters: StatusCounters;
  /** The last 20, oldest first. */
  readonly fallbacks: readonly FallbackStatus[];
}

export interface FaceStatus {
  readonly kind: 'fuse' | 'erofs';
  /** `[mount] backend` of the configuration. */
  readonly configured: string;
  /** Why it is this one. */
  readonly reason: string;
  /** Mounts of an earlier daemon were taken over with it. */
  readonly takenOver: boolean;
}

/** The process that holds the descriptors while no daemon runs, or why there is none. */
export type KeeperStatus =
  | { readonly pid: number; readonly reason: null }
  | { readonly pid: null; readonly reason: string };

/** systemd's: `none`: not started by it; `sent`: it was sent the descriptors, which it does not acknowledge. */
export type DescriptorStoreStatus = 'none' | 'sent' | 'unreachable';

/** A layer that containerd had to pull and unpack. */
export interface FallbackStatus {
  readonly at: string;
  readonly reason: string;
  readonly error: string | null;
  readonly image: string | null;
  readonly digest: string | null;
}

/** Since the daemon started. */
export interface StatusCounters {
  readonly layersMounted: number;
  readonly lazyMounts: number;
  /** By reason. */
  readonly fallbacks: Readonly<Record<string, number>>;
  /** Reads that the FUSE workers answered from the store; null for EROFS, where the kernel answers them itself. */
  readonly readHits: number | null;
  /** Demand ranges that nothing was fetching yet, that something was, and the longest wait of a reader. */
  readonly demand: { readonly missed: number; readonly joined: number; readonly maxWaitMs: number };
  /** Ranged GETs of blobs and their compressed bytes, by priority. */
  readonly fetched: Readonly<
    Record<
      'demand' | 'prefetch' | 'background',
      { readonly requests: number; readonly failed: number; readonly bytes: number }
    >
  >;
  /** Chunks that failed their digest or did not inflate. */
  readonly chunksRejected: number;
}

export const statusFileName = 'status.json';

/** The document in a daemon's root; undefined before a daemon has written one there. Throws on any other failure. */
export function readStatus(root: string): StatusDocument | undefined {
  let text: string;
  try {
    text = readFileSync(join(root, statusFileName), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const document = JSON.parse(text) as StatusDocument;
  if (document.schemaVersion === 1) return document;
  throw new Error(`${join(root, statusFileName)}: schema version ${document.schemaVersion} is not supported`);
}
