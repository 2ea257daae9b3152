import type { StatusCounters } from '../api/status.ts';
import type { FetchPriority } from '../store/metrics.ts';
import type { DaemonMetrics } from './metrics.ts';

/** The counters of the status document. They count where no Prometheus does, and pass everything on where one does. */
export interface Counters extends DaemonMetrics {
  readonly values: Omit<StatusCounters, 'layersMounted' | 'readHits'>;
}

export function createCounters(next: DaemonMetrics): Counters {
  const fetchedBy = () => ({ requests: 0, failed: 0, bytes: 0 });
  const fetched = { demand: fetchedBy(), prefetch: fetchedBy(), background: fetchedBy() };
  const demand = { missed: 0, joined: 0, maxWaitMs: 0 };
  const fallbacks: Record<string, number> = {};
  const values = { lazyMounts: 0, fallbacks, demand, fetched, chunksRejected: 0 };
  return {
    values,
    lazyMount(durationMs) {
      values.lazyMounts++;
      next.lazyMount(durationMs);
    },
    fallback(fields) {
      fallbacks[fields.reason] = (fallbacks[fields.reason] ?? 0) + 1;
      next.fallback(fields);
    },
    wrongBytes: (server) => next.wrongBytes(server),
    callStarted: (method) => next.callStarted(method),
    callFinished: (method, code, durationMs) => next.callFinished(method, code, durationMs),
    fetch: {
      requestStarted: (priority) => next.fetch.requestStarted(priority),
      requestFinished(priority, outcome, durationMs) {
        fetched[priority].requests++;
        if (outcome === 'error') fetched[priority].failed++;
        next.fetch.requestFinished(priority, outcome, durationMs);
      },
      bytesFetched(priority: FetchPriority, sizeBytes: number) {
        fetched[priority].bytes += sizeBytes;
        next.fetch.bytesFetched(priority, sizeBytes);
      },
      ensured(priority, result) {
        if (priority === 'demand' && result === 'miss') demand.missed++;
        if (priority === 'demand' && result === 'joined') demand.joined++;
        next.fetch.ensured(priority, result);
      },
      demandWaited(durationMs) {
        demand.maxWaitMs = Math.max(demand.maxWaitMs, Math.round(durationMs));
        next.fetch.demandWaited(durationMs);
      },
      chunkRejected() {
        values.chunksRejected++;
        next.fetch.chunkRejected();
      },
    },
  };
}
