import type { ResponseHeaders } from './connections.ts';

/** How many manifests may still be pulled (Docker Hub's `ratelimit-limit` and `ratelimit-remaining` headers). */
export interface RateLimit {
  readonly limit: number;
  readonly remaining: number;
  readonly windowSec: number | undefined;
}

/** Reads `100;w=21600`; undefined where a registry sends no such headers, or others. */
export function parseRateLimit(headers: ResponseHeaders): RateLimit | undefined {
  const limit = readCount(headers['ratelimit-limit']);
  const remaining = readCount(headers['ratelimit-remaining']);
  if (limit === undefined || remaining === undefined) return undefined;
  return { limit: limit.count, remaining: remaining.count, windowSec: limit.windowSec ?? remaining.windowSec };
}

function readCount(value: string | string[] | undefined) {
  const text = Array.isArray(value) ? value[0] : value;
  const match = /^(\d{1,9})(?:\s*;\s*w=(\d{1,9}))?$/.exec(text?.trim() ?? '');
  if (match === null) return undefined;
  return { count: Number(match[1]), windowSec: match[2] === undefined ? undefined : Number(match[2]) };
}
