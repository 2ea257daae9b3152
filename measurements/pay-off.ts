import type { LinkSetting } from './environment.ts';

/**
 * From where on a lazy pull pays, by a model whose parts one run at one link gives:
 *
 *     legacy = bytes / bandwidth + U            U: unpack, create, run
 *     lazy   = bytes / bandwidth + N * RTT + F + R
 *
 * R is the run once everything is there, which is legacy's create and run. What a lazy start waits beyond its bytes and R is
 * taken for round trips, N, at most as many as it made requests; F is what then remains: the daemon's own work. Legacy's
 * download overlaps its unpacking, which shows only on faster links, and its own few round trips are left out: both make
 * lazy pulling look worse than it is, as does taking for round trips what is not, unless another round trip was measured.
 */
export interface Start {
  /** Medians, at the link. */
  readonly totalMs: number;
  readonly wireBytes: number;
}

export interface PayOffRequest {
  readonly link: LinkSetting;
  /** `readyMs`: create and run. */
  readonly legacy: Start & { readonly readyMs: number };
  readonly lazy: Start & {
    readonly wireRequests: number;
    /** N where a run at another round trip shows it: the milliseconds more for each millisecond more of it. */
    readonly roundTrips?: number | undefined;
  };
  /** Of the whole image, compressed. */
  readonly imageBytes: number;
}

/** For which values of a quantity the lazy start is the faster one, all else as measured. */
export type Range =
  | { readonly kind: 'always' }
  | { readonly kind: 'never' }
  | { readonly kind: 'below'; readonly value: number }
  | { readonly kind: 'above'; readonly value: number };

export interface PayOff {
  /** Mbit/s, at the measured round trip. */
  readonly bandwidthMbps: Range;
  /** Milliseconds, at the measured bandwidth. */
  readonly rttMs: Range;
  /** Of the image's bytes, at the measured link: 0 to 1. */
  readonly share: Range;
}

export function solvePayOff({ link, legacy, lazy, imageBytes }: PayOffRequest): PayOff {
  const transferMs = (bytes: number) =>
    link.bandwidthMbps === undefined ? 0 : (8 * bytes) / (1000 * link.bandwidthMbps);
  const unpackMs = legacy.totalMs - transferMs(legacy.wireBytes);
  const waitMs = Math.max(0, lazy.totalMs - transferMs(lazy.wireBytes) - legacy.readyMs);
  const most = link.rttMs > 0 ? Math.min(lazy.wireRequests, waitMs / link.rttMs) : lazy.wireRequests;
  const roundTrips = Math.max(0, Math.min(lazy.roundTrips ?? most, most));
  const fixedMs = waitMs - roundTrips * link.rttMs;
  const savedBytes = legacy.wireBytes - lazy.wireBytes;
  // Lazy is faster while savedBytes / bandwidth is above this.
  const neededMs = legacy.readyMs + waitMs - unpackMs;
  const perShareMs = (transferMs(lazy.wireBytes) + roundTrips * link.rttMs) / (lazy.wireBytes / imageBytes);
  return {
    bandwidthMbps: rangeOfBandwidth(savedBytes, neededMs),
    rttMs: upTo(link.rttMs + (legacy.totalMs - lazy.totalMs) / roundTrips, Number.POSITIVE_INFINITY),
    share: upTo((legacy.totalMs - legacy.readyMs - fixedMs) / perShareMs, 1),
  };
}

function rangeOfBandwidth(savedBytes: number, neededMs: number): Range {
  if (savedBytes >= 0 && neededMs <= 0) return { kind: 'always' };
  if (savedBytes <= 0 && neededMs >= 0) return { kind: 'never' };
  const value = (8 * savedBytes) / (1000 * neededMs);
  return savedBytes > 0 ? { kind: 'below', value } : { kind: 'above', value };
}

/** A division by nothing gives an infinity with the right sign, and NaN where both starts are equal. */
function upTo(value: number, max: number): Range {
  if (value >= max) return { kind: 'always' };
  return value > 0 ? { kind: 'below', value } : { kind: 'never' };
}
