import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The daemon's status: `status.json` in its root, rewritten whenever a layer is mounted lazily or a field outside
 * `counters` changes, and `/debug/status` on the metrics address, always current. Within a schema version fields are only
 * added. docs/debugging.md describes each field. `null` means that there is none.
 */
export interface StatusDocument {
  readonly schemaVersion: 1;
  /** ISO 8601, as all times here. The counters in the file are as of this time. */
  readonly writtenAt: string;
  /** Stale after the daemon was killed: check that `pid` is alive. */
  readonly state: 'starting' | 'serving' | 'stopping' | 'stopped';
  readonly version: string;
  /** Git commit of the source tree; null unless it is a clone or an image that recorded its commit. */
  readonly commit: string | null;
  readonly pid: number;
  readonly startedAt: string;
  /** `options`: of Node and V8, from the command line. */
  readonly node: { readonly version: string; readonly options: readonly string[] };
  readonly root: string;
  readonly logLevel: string;
  readonly config: { readonly path: string; readonly warnings: readonly string[] };
  /** Sockets by path, metrics by host:port. `cri` only if the image service has its own socket. */
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
  /** Why this face was chosen. */
  readonly reason: string;
  /** Whether it took over the mounts of an earlier daemon. */
  readonly takenOver: boolean;
}

/** The process that holds the descriptors while no daemon is running, or why there is none. */
export type KeeperStatus =
  | { readonly pid: number; readonly reason: null }
  | { readonly pid: null; readonly reason: string };

/** systemd's store. `none`: not started by systemd; `sent`: descriptors were sent; systemd gives no acknowledgement. */
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
  /** Reads that the FUSE workers answered from the store; null for EROFS, whose reads the kernel answers. */
  readonly readHits: number | null;
  /** Demand ranges that started a fetch, those that joined one in flight, and a reader's longest wait. */
  readonly demand: { readonly missed: number; readonly joined: number; readonly maxWaitMs: number };
  /** Range requests for blobs and the compressed bytes received, by priority. */
  readonly fetched: Readonly<
    Record<
      'demand' | 'prefetch' | 'background',
      { readonly requests: number; readonly failed: number; readonly bytes: number }
    >
  >;
  /** Chunks that failed digest verification or decompression. */
  readonly chunksRejected: number;
}

export const statusFileName = 'status.json';

/** Reads the document in a daemon's root; undefined if there is none yet. */
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
