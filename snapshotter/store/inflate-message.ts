import type { Compression } from '../estargz/inflater.ts';
import type { EncodedError } from './error.ts';
import type { MemberIndex } from './member-index.ts';

/** Between inflate-thread.ts on the main thread and inflate-worker.ts. Compressed bytes travel in shared slots, without a message of their own. */

export const slotBytes = 64 * 1024;
/** 1 MiB of compressed bytes: what waits behind it is delayed by 10 ms where inflating takes 3 ms per MiB of content. */
export const slotCount = 16;

export interface InflateWorkerData {
  /** `slotCount` slots of `slotBytes`. */
  readonly slots: SharedArrayBuffer;
}

/** What storing a layer's chunks needs; all buffers are shared. */
export interface InflatedLayer {
  readonly layer: number;
  readonly subject: string;
  readonly table: SharedArrayBuffer;
  readonly index: MemberIndex;
  readonly present: SharedArrayBuffer;
  /** Stays open until `remove-layer` was posted and no lane of the layer is left. */
  readonly dataFd: number;
  readonly compression: Compression;
}

/** The next bytes of a member. */
export interface Piece {
  readonly member: number;
  /** In the slot. */
  readonly offset: number;
  readonly sizeBytes: number;
  /** These bytes end the member. */
  readonly isLast: boolean;
}

/** A lane carries the bytes of one transfer, its members in blob order. */
export type MessageToInflater =
  | ({ readonly kind: 'add-layer' } & InflatedLayer)
  | { readonly kind: 'remove-layer'; readonly layer: number }
  | {
      readonly kind: 'write';
      readonly lane: number;
      readonly layer: number;
      readonly slot: number;
      /** Goes before lanes that are not. */
      readonly isUrgent: boolean;
      readonly pieces: readonly Piece[];
    }
  /** Discards what the lane has not stored. Answered by `ended`, after which nothing is written for it. */
  | { readonly kind: 'end'; readonly lane: number };

export interface WriteResult {
  /** Chunks whose verified bytes are in the data file; `digest` where the TOC has none. */
  readonly stored: readonly { readonly chunk: number; readonly digest?: Uint8Array | undefined }[];
  /** Members of which all bytes were taken; with an error, they were damaged. */
  readonly settled: readonly { readonly member: number; readonly error?: EncodedError }[];
  /** The data file cannot be written; the lane ignores what follows. */
  readonly failure?: EncodedError | undefined;
}

export type MessageFromInflater =
  /** The slot may be used again. */
  | ({ readonly kind: 'written'; readonly lane: number; readonly slot: number } & WriteResult)
  | { readonly kind: 'ended'; readonly lane: number };
