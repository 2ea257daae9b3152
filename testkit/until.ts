import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

export interface UntilOptions {
  readonly limitMs: number;
  readonly signal?: AbortSignal;
  /** Between two calls of the condition. */
  readonly intervalMs?: number;
}

type Truthy<T> = Exclude<T, undefined | null | false | 0 | ''>;

/**
 * Calls `condition` until it returns something truthy, and resolves with that. A condition that throws or rejects counts
 * as not met. Fails at the limit, naming `what` was awaited and the last value or error; rejects with signal.reason on abort.
 */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  { limitMs, signal, intervalMs = 10 }: UntilOptions,
): Promise<Truthy<T>> {
  // A timer of AbortSignal.timeout would not keep the event loop alive.
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), limitMs);
  const stop = signal === undefined ? limit.signal : AbortSignal.any([limit.signal, signal]);
  const stopped = abortion(stop);
  let last: Outcome = { kind: 'pending' };
  try {
    while (!stop.aborted) {
      const outcome = await Promise.race([evaluate(condition), stopped]);
      if (outcome.kind === 'value' && outcome.value) return outcome.value as Truthy<T>;
      // At the limit, the result of the previous call says more than that this one is pending.
      if (outcome.kind !== 'pending') last = outcome;
      await sleep(intervalMs, undefined, { signal: stop }).catch(() => {});
    }
  } finally {
    clearTimeout(timer);
  }
  signal?.throwIfAborted();
  throw new Error(
    `${what}: not within ${limitMs / 1000} s; ${describe(last)}`,
    last.kind === 'error' ? { cause: last.error } : undefined,
  );
}

type Outcome = { kind: 'value'; value: unknown } | { kind: 'error'; error: unknown } | { kind: 'pending' };

async function evaluate(condition: () => unknown): Promise<Outcome> {
  try {
    return { kind: 'value', value: await condition() };
  } catch (error) {
    return { kind: 'error', error };
  }
}

function abortion(signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    const onAbort = () => resolve({ kind: 'pending' });
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

function describe(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'value':
      return `last value: ${inspect(outcome.value, { depth: 3 })}`;
    case 'error':
      return `last error: ${outcome.error instanceof Error ? outcome.error.message : inspect(outcome.error)}`;
    case 'pending':
      return 'the condition never returned';
  }
}
