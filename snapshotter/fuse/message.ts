import type { Validity } from './attributes.ts';
import type { Miss } from './dispatch.ts';
import type { Negotiated } from './init.ts';
import type { RequestTrace } from './trace.ts';

/** What the main thread starts a worker with. */
export interface WorkerData {
  readonly fuseFd: number;
  readonly wakeFd: number;
  /** Int32: see `control`. */
  readonly control: SharedArrayBuffer;
  readonly validity: Validity;
  readonly spliceReplies: boolean;
  /** Send a `traced` for every request. */
  readonly trace: boolean;
}

/** Words of the control buffer. */
export const control = {
  /** Incremented after each message, so that a worker reads its port only when there is something in it. */
  posted: 0,
  /** 1: end. */
  stopping: 1,
  /** Reads of present content; wraps at 2^32. */
  hits: 2,
  words: 3,
} as const;

export type MessageToWorker =
  | {
      readonly kind: 'add-layer';
      readonly slot: number;
      readonly table: SharedArrayBuffer;
      readonly present: SharedArrayBuffer;
      readonly dataFd: number;
      readonly seen: SharedArrayBuffer | undefined;
    }
  /** Answered with `removed` once this worker no longer uses the layer's descriptor. */
  | { readonly kind: 'remove-layer'; readonly slot: number };

export type MessageFromWorker =
  | { readonly kind: 'miss'; readonly miss: Miss }
  | { readonly kind: 'interrupt'; readonly uniqueLow: number; readonly uniqueHigh: number }
  | { readonly kind: 'first-read'; readonly slot: number; readonly dataOffset: number; readonly sizeBytes: number }
  | { readonly kind: 'negotiated'; readonly negotiated: Negotiated }
  | { readonly kind: 'removed'; readonly slot: number }
  | { readonly kind: 'traced'; readonly trace: RequestTrace }
  /** A request this worker could not handle; it was answered with EIO. */
  | { readonly kind: 'failed'; readonly error: unknown }
  /** The kernel ended the connection (the last mount of it is gone, or it was aborted). */
  | { readonly kind: 'disconnected' };
