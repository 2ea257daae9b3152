import { setTimeout as delay } from 'node:timers/promises';
import { RegistryError } from './error.ts';

/** `[blob] max_retries`, `min_wait_msec`, `max_wait_msec` of the daemon's configuration. */
export interface RetryPolicy {
  /** Attempts after the first; for a body that stops early, resumptions without progress. */
  readonly maxRetries: number;
  readonly minWaitMs: number;
  readonly maxWaitMs: number;
}

export const defaultRetryPolicy: RetryPolicy = { maxRetries: 5, minWaitMs: 30, maxWaitMs: 300_000 };

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  sleep(durationMs: number, signal: AbortSignal): Promise<void>;
}

/** Node timers with a longer delay fire at once. */
const maxTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: Date.now,
  sleep: async (durationMs, signal) => {
    try {
      await delay(Math.min(durationMs, maxTimerMs), undefined, { signal });
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  },
};

/** Wait before retry number `retry` (from 1): doubles from minWaitMs to maxWaitMs; half of it is random. */
export function backoffMs(policy: RetryPolicy, retry: number, random: () => number): number {
  const full = Math.min(policy.maxWaitMs, policy.minWaitMs * 2 ** (retry - 1));
  return full / 2 + (random() * full) / 2;
}

/** `Retry-After` in milliseconds from now: seconds or an HTTP date (RFC 9110, 10.2.3). */
export function parseRetryAfter(header: string | readonly string[] | undefined, nowMs: number): number | undefined {
  const text = (typeof header === 'string' ? header : header?.[0])?.trim();
  if (text === undefined || text === '') return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}

export function isRetryableStatus(status: number): boolean {
  return status === 408 || status === 429 || status === 500 || (status >= 502 && status <= 504);
}

/** Network failures, which may be transient. */
export function isRetryableError(error: unknown): boolean {
  return error instanceof RegistryError && (error.code === 'unreachable' || error.code === 'timeout');
}
