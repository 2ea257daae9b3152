import type { InodeTable } from '../tree/inode-table.ts';
import type { EventTrace, VerdictTrace } from './message.ts';

export interface ErofsLayer {
  readonly slot: number;
  /** The layer's digest, for logs. */
  readonly digest?: string;
  readonly table: InodeTable;
  readonly present: SharedArrayBuffer;
  /**
   * Opened before `addLayer`, since descriptors older than the mark raise no events. Where the mark is older,
   * `addLayer` replaces the open file behind it.
   */
  readonly dataFd: number;
  readonly dataPath: string;
  /** The EROFS image of the table (image.ts), whose extra device is the data file. */
  readonly imagePath: string;
  /** Complete for long enough that filling has left nothing in the data file's page cache: mount with direct I/O. */
  readonly isComplete?: boolean;
}

export interface ErofsServerOptions {
  /** A read that failed with EIO (`miss`, of that layer), or anything else that has no caller to reject. For a log. */
  readonly onError?: (error: unknown, miss?: Pick<EventTrace, 'offset' | 'sizeBytes'>, layer?: ErofsLayer) => void;
  /** Every event, and every late response. Costs a message each, so it is off unless given. */
  readonly onTrace?: ((trace: EventTrace | VerdictTrace, layer: ErofsLayer | undefined) => void) | undefined;
  /** The worker has died, so reads of holes wait: end the process, and let the next daemon take over. */
  readonly onDeath?: (error: unknown) => void;
  /** A group taken over from an earlier daemon; otherwise a new one is opened. */
  readonly groupFd?: number | undefined;
  /** Limit on a missed read; then it fails with EIO. Default 300,000. */
  readonly missLimitMs?: number;
  readonly readaheadKib?: number;
  /** Delay from a layer's completion to direct I/O on its data file. Default 60,000. */
  readonly directDelayMs?: number;
}
