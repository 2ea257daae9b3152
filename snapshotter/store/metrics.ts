export type FetchPriority = 'demand' | 'prefetch' | 'background';

/** What the store counts; prometheus.ts turns it into series, tests into plain numbers. */
export interface FetchMetrics {
  /** A ranged GET was sent. */
  requestStarted(priority: FetchPriority): void;
  /** It ended. `durationMs` runs from sending to the last byte used. */
  requestFinished(priority: FetchPriority, outcome: 'ok' | 'error', durationMs: number): void;
  /** Compressed bytes as they arrive. */
  bytesFetched(priority: FetchPriority, sizeBytes: number): void;
  /** An ensure on the main thread: 'hit' all present, 'joined' all in flight, 'miss' needed a fetch. */
  ensured(priority: FetchPriority, result: 'hit' | 'joined' | 'miss'): void;
  /** How long a demand that was not a hit waited. */
  demandWaited(durationMs: number): void;
  /** Content refused: did not inflate or failed its digest. */
  chunkRejected(): void;
}

export const noFetchMetrics: FetchMetrics = {
  requestStarted: () => {},
  requestFinished: () => {},
  bytesFetched: () => {},
  ensured: () => {},
  demandWaited: () => {},
  chunkRejected: () => {},
};
