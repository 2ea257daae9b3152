/** What the log of our daemon says at the level `trace` (docs/debugging.md). Times are milliseconds of the wall clock. */

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
    const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
    const bytes = typeof sizeBytes === 'number' ? sizeBytes : undefined;
    return [{ atMs: endMs - waitedMs, endMs, bytes, layer: text(layer), path: text(path) }];
  });
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
