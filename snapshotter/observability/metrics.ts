import { type FetchMetrics, noFetchMetrics } from '../store/metrics.ts';

/** A layer that was left to an ordinary pull. */
export interface Fallback {
  readonly reason: string;
  readonly error?: string | undefined;
  readonly image?: string | undefined;
  readonly digest?: string | undefined;
}

/** What the daemon counts, for the status document and, where an address is configured, for Prometheus. */
export interface DaemonMetrics {
  readonly fetch: FetchMetrics;
  /** A layer was mounted lazily for a Prepare. */
  lazyMount(durationMs: number): void;
  fallback(fallback: Fallback): void;
  /** A server gave bytes that failed their digest and is asked last for a while. */
  wrongBytes(server: string): void;
  callStarted(method: string): void;
  /** `code` is the gRPC status by name. */
  callFinished(method: string, code: string, durationMs: number): void;
}

export const noMetrics: DaemonMetrics = {
  fetch: noFetchMetrics,
  lazyMount: () => {},
  fallback: () => {},
  wrongBytes: () => {},
  callStarted: () => {},
  callFinished: () => {},
};
