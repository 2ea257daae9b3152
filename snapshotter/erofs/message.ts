/** One fanotify event: somebody is about to read a range of a layer's data file. */
export interface EventTrace {
  /** undefined: of no mounted layer. */
  readonly slot: number | undefined;
  readonly pid: number;
  readonly offset: number;
  readonly sizeBytes: number;
  /** `own`: by this process. `held`: until the layers of the daemon before are added. */
  readonly outcome: 'allowed' | 'missed' | 'denied' | 'held' | 'own';
}

/** The answer to a missed event. */
export interface VerdictTrace {
  readonly slot: number;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly error: string | undefined;
  readonly waitedMs: number;
}

/** What the main thread starts the event worker with. */
export interface EventWorkerData {
  readonly groupFd: number;
  readonly wakeFd: number;
  /** Int32: see `control`. */
  readonly control: SharedArrayBuffer;
  /** Send a `traced` for every event. */
  readonly trace: boolean;
}

/** Words of the control buffer. */
export const control = {
  /** Raised after each message, so that the worker looks into its port only when there is something in it. */
  posted: 0,
  /** 1: leave. */
  stopping: 1,
  /** 1: events of files that no layer names wait, because the layers of the daemon before are still being added. */
  adopting: 2,
  words: 3,
} as const;

export type MessageToEventWorker =
  | {
      readonly kind: 'add-layer';
      readonly slot: number;
      /** st_ino of the data file: what an event's descriptor is recognised by. */
      readonly dataInode: number;
      readonly table: SharedArrayBuffer;
      readonly present: SharedArrayBuffer;
    }
  | { readonly kind: 'remove-layer'; readonly slot: number; readonly dataInode: number }
  /** The next event that this process itself raises for the file is answered with `descriptor`. */
  | { readonly kind: 'want-descriptor'; readonly dataInode: number };

export type MessageFromEventWorker =
  /** It answers from now on: this process may open and write files that are marked. */
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'miss';
      readonly slot: number;
      /** The event's descriptor: answer the event with it, then close it. */
      readonly fd: number;
      readonly offset: number;
      readonly sizeBytes: number;
    }
  /** An event's descriptor that is kept: open for reading and writing, and never asks. */
  | { readonly kind: 'descriptor'; readonly dataInode: number; readonly fd: number }
  | { readonly kind: 'traced'; readonly trace: EventTrace }
  /** The worker will not name this slot again. */
  | { readonly kind: 'removed'; readonly slot: number }
  /** An event that could not be understood or belongs to no layer; where it could be answered it was denied. */
  | { readonly kind: 'failed'; readonly error: unknown };
