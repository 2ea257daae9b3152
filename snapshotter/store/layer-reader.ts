/** What a face asks of a layer while it is attached. */
export interface LayerReader {
  /** Makes bytes of the data file present and verified, or rejects. */
  ensure(dataOffset: number, sizeBytes: number, signal: AbortSignal): Promise<void>;
  /**
   * Bytes of the data file that were not read before, in order of the reads. Absent unless accesses are recorded: it costs a
   * message per read.
   */
  onFirstRead?(dataOffset: number, sizeBytes: number): void;
}

/** A read that the kernel blocks while its bytes are fetched. */
export interface Demand {
  /** Rejects if the bytes cannot be fetched, at the limit, and on `cancel` with its reason. */
  readonly done: Promise<void>;
  cancel(reason: Error): void;
}

/** The usual readahead of a mount. */
export const defaultReadaheadKib = 512;

/**
 * Readahead while accesses are recorded, and for a minute on a layer of which only recorded ranges are prefetched: with more,
 * a page fault amid ranges that are not needed would ask for, and wait for, half a MiB of them. The same in both, so that
 * readers ask for what was recorded.
 */
export const recordedReadaheadKib = 64;

export const defaultMissLimitMs = 300_000;

/** `ensure` with a limit. AbortSignal.timeout would stay in memory until its time, for each read. */
export function demandRange(reader: LayerReader, dataOffset: number, sizeBytes: number, limitMs: number): Demand {
  const ending = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const cancel = (reason: Error): void => {
    reject(reason);
    ending.abort(reason);
  };
  const timer = setTimeout(() => cancel(new Error(`no data after ${limitMs} ms`)), limitMs);
  try {
    reader.ensure(dataOffset, sizeBytes, ending.signal).then(resolve, reject);
  } catch (error) {
    reject(error);
  }
  return { done: promise.finally(() => clearTimeout(timer)), cancel };
}
