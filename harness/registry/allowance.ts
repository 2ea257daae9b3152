import { RegistryError } from '../../snapshotter/registry/error.ts';
import type { RateLimit } from '../../snapshotter/registry/rate-limit.ts';
import { HarnessError } from '../cli/error.ts';

/** Throws HarnessError `rate-limited` if fewer manifests may be pulled than are needed. */
export function requireAllowance(registry: string, rateLimit: RateLimit | undefined, needed: number): void {
  if (rateLimit === undefined || rateLimit.remaining >= needed) return;
  throw new HarnessError(
    'rate-limited',
    `${describeAllowance(registry, rateLimit)}; this needs ${formatPulls(needed)}`,
    { remedy: 'docker login for a higher limit, measure less, or wait' },
  );
}

/** `docker.io: 76 of 100 manifest pulls left in 6 h` */
export function describeAllowance(registry: string, { limit, remaining, windowSec }: RateLimit): string {
  const window = windowSec === undefined ? '' : ` in ${formatWindow(windowSec)}`;
  return `${registry}: ${remaining} of ${limit} manifest pulls left${window}`;
}

export function formatPulls(count: number): string {
  return count === 1 ? '1 manifest pull' : `${count} manifest pulls`;
}

function formatWindow(seconds: number): string {
  if (seconds % 3600 === 0) return `${seconds / 3600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

/** A refusal because of the limit, in words; any other error as it is. */
export function explainLimit(registry: string, error: unknown): unknown {
  if (!(error instanceof RegistryError) || error.code !== 'rate-limited') return error;
  const { retryAfterMs } = error;
  const wait = retryAfterMs === undefined ? 'wait' : `wait ${formatWindow(Math.ceil(retryAfterMs / 1000))}`;
  return new HarnessError('rate-limited', `${registry} allows no more pulls for now (HTTP 429)`, {
    remedy: `${wait}, or docker login for a higher limit`,
    cause: error,
  });
}
