import { type FetchMetrics, noFetchMetrics } from '../store/metrics.ts';

/** What the daemon counts. Where no address is configured nothing is, and prom-client is never loaded. */
export interface DaemonMetrics {
  readonly fetch: FetchMetrics;
  /** A layer was mounted lazily for a Prepare. */
  lazyMount(durationMs: number): void;
  /** A layer had to be left to an ordinary pull. */
  fallback(reason: string): void;
  callStarted(method: string): void;
  /** `code` is the gRPC status by name. */
  callFinished(method: string, code: string, durationMs: number): void;
}

export const noMetrics: DaemonMetrics = {
  fetch: noFetchMetrics,
  lazyMount: () => {},
  fallback: () => {},
  callStarted: () => {},
  callFinished: () => {},
};
