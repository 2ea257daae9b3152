/** What a face asks of a layer while it is attached. */
export interface LayerReader {
  /** Makes bytes of the data file present and verified, or rejects. */
  ensure(dataOffset: number, sizeBytes: number, signal: AbortSignal): Promise<void>;
  /** The first read of each inode, in order. Absent unless accesses are recorded: it costs a message per file. */
  onFirstRead?(inode: number): void;
}

/** A read that the kernel blocks while its bytes are fetched. */
export interface Demand {
  /** Rejects if the bytes cannot be fetched, at the limit, and on `cancel` with its reason. */
  readonly done: Promise<void>;
  cancel(reason: Error): void;
}

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
