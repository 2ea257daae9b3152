/** One fanotify event: a process is about to read a range of a layer's data file. */
export interface EventTrace {
  /** undefined: the file is of no mounted layer. */
  readonly slot: number | undefined;
  readonly pid: number;
  readonly offset: number;
  readonly sizeBytes: number;
  /** `own`: raised by this process. `held`: until the layers of the earlier daemon are added. */
  readonly outcome: 'allowed' | 'missed' | 'denied' | 'held' | 'own';
}

/** The late response to a missed event. */
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
  /** Incremented after each message, so that the worker reads its port only when there is something in it. */
  posted: 0,
  /** 1: end. */
  stopping: 1,
  /** 1: events of unknown files are held, because layers of the earlier daemon are still being added. */
  adopting: 2,
  words: 3,
} as const;

export type MessageToEventWorker =
  | {
      readonly kind: 'add-layer';
      readonly slot: number;
      /** st_ino of the data file, by which an event's descriptor is recognized. */
      readonly dataInode: number;
      readonly table: SharedArrayBuffer;
      readonly present: SharedArrayBuffer;
      /** Send a `first-read` for each range that is read for the first time. */
      readonly records: boolean;
    }
  | { readonly kind: 'remove-layer'; readonly slot: number; readonly dataInode: number }
  /** The next event that this process raises for the file is answered with `descriptor`. */
  | { readonly kind: 'want-descriptor'; readonly dataInode: number };

export type MessageFromEventWorker =
  /** Events are answered from now on, so this process may open and write marked files. */
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'miss';
      readonly slot: number;
      /** The event's descriptor: answer the event with it, then close it. */
      readonly fd: number;
      readonly offset: number;
      readonly sizeBytes: number;
    }
  /** Precedes the `miss` of the same read. */
  | { readonly kind: 'first-read'; readonly slot: number; readonly dataOffset: number; readonly sizeBytes: number }
  /** An event's descriptor, kept: open for reading and writing, and raises no events. */
  | { readonly kind: 'descriptor'; readonly dataInode: number; readonly fd: number }
  | { readonly kind: 'traced'; readonly trace: EventTrace }
  /** The worker no longer reports this slot. */
  | { readonly kind: 'removed'; readonly slot: number }
  /** An event that could not be parsed or is of no layer; it was denied where possible. */
  | { readonly kind: 'failed'; readonly error: unknown };
