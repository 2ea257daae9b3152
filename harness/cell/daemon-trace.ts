/** What the log of our daemon says, of requests and reads at the level `trace` (docs/debugging.md). Times are milliseconds of the wall clock. */

/** One ranged request for content. Offsets are of the layer's blob. */
export interface Fetch {
  readonly layer: string;
  readonly first: number;
  /** Included. */
  readonly last: number;
  readonly priority: 'demand' | 'prefetch' | 'background';
}

/** A read that had to wait for the registry. */
export interface Miss {
  readonly atMs: number;
  readonly endMs: number;
  readonly bytes: number | undefined;
  readonly layer: string | undefined;
  readonly path: string | undefined;
}

/** A layer that the daemon left to containerd. */
export interface Fallback {
  readonly reason: string;
  readonly error: string | undefined;
  /** Undefined: it was not told which layer it is. */
  readonly digest: string | undefined;
  /** The name that its snapshot is to have. */
  readonly chainId: string | undefined;
}

interface Line {
  readonly time: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

const answers = ['FUSE read answered', 'fanotify event answered'];
const priorities = ['demand', 'prefetch', 'background'];

export function contentFetches(log: string): readonly Fetch[] {
  return linesOf(log, ['content fetched']).flatMap(({ layer, range, priority }): Fetch[] => {
    const [, first, last] = /^(\d+)-(\d+)$/.exec(String(range)) ?? [];
    if (typeof layer !== 'string' || last === undefined || !priorities.includes(String(priority))) return [];
    return [{ layer, first: Number(first), last: Number(last), priority: priority as Fetch['priority'] }];
  });
}

export function readMisses(log: string): readonly Miss[] {
  return linesOf(log, answers).flatMap(({ time, waitedMs, sizeBytes, layer, path }): Miss[] => {
    const endMs = Date.parse(time);
    if (typeof waitedMs !== 'number' || Number.isNaN(endMs)) return [];
    const bytes = typeof sizeBytes === 'number' ? sizeBytes : undefined;
    return [{ atMs: endMs - waitedMs, endMs, bytes, layer: textOf(layer), path: textOf(path) }];
  });
}

export function readFallbacks(log: string): readonly Fallback[] {
  return linesOf(log, ['layer will be pulled and unpacked']).map(({ reason, error, digest, ref }) => ({
    ...{ reason: String(reason), error: textOf(error), digest: textOf(digest), chainId: textOf(ref) },
  }));
}

/** A log that grows to megabytes is parsed only where it matters; its last line may be torn. */
function linesOf(log: string, messages: readonly string[]): Line[] {
  return log.split('\n').flatMap((text): Line[] => {
    if (!messages.some((message) => text.includes(`"msg":"${message}"`))) return [];
    try {
      return [JSON.parse(text) as Line];
    } catch {
      return [];
    }
  });
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
