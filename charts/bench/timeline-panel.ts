import type { RequestKind } from '../../measurements/timeline.ts';
import type { RequestName } from '../drawing/theme.ts';
import type { TimelineMark } from '../run/run.ts';

const nameOf: Readonly<Record<RequestKind, RequestName>> = {
  manifest: 'manifest',
  config: 'manifest',
  referrers: 'manifest',
  other: 'manifest',
  toc: 'TOC',
  prefetch: 'prefetch',
  demand: 'demand',
  background: 'background',
  range: 'range',
  layer: 'whole layer',
};

/** A rectangle: seconds since the pull began, and pixels from the top of the plot. */
interface Box {
  readonly from: number;
  readonly to: number;
  readonly top: number;
  readonly bottom: number;
}

/** The plot of one start: strips one below the other over one axis of time. */
export interface StartPanel {
  readonly mode: string;
  readonly readySeconds: number;
  /** Of the axis. */
  readonly endSeconds: number;
  /** Until ready, over the link; undefined where no link counted. */
  readonly totalBytes: number | undefined;
  readonly requestCount: number;
  readonly missCount: number;
  readonly height: number;
  readonly strips: readonly { readonly name: string; readonly center: number }[];
  readonly phases: readonly (Box & { readonly phase: string })[];
  /** Each is one bar for the wait and one for the bytes, in a lane where no other is at the time. */
  readonly requests: readonly (Box & { readonly name: RequestName; readonly isWaiting: boolean })[];
  readonly misses: readonly Box[];
  /** The line of what has arrived, as a share of the total. */
  readonly bytes: readonly Omit<Box, 'to'>[];
}

const phaseHeight = 8;
const missHeight = 11;
const bytesHeight = 26;
const gap = 8;
/** Of all plots, so that those of one mode are side by side; where more requests are under way at a time, lanes are narrower. */
const requestsHeight = 44;
const maxLaneHeight = 5;
/** Of the narrowest bar, in pixels. */
const leastWidth = 1.6;

/** Undefined where the start has no end. `width` is that of the plot in pixels; there may be a strip for misses without one. */
export function panelOf(
  mode: string,
  events: readonly TimelineMark[],
  { width, withMisses }: { readonly width: number; readonly withMisses: boolean },
): StartPanel | undefined {
  const ready = events.find(({ kind }) => kind === 'ready');
  if (ready === undefined) return undefined;
  const endSeconds = (ready.atMs / 1000) * 1.02 || 1;
  const leastSeconds = (endSeconds / width) * leastWidth;
  const isSeen = ({ atMs }: TimelineMark) => atMs / 1000 <= endSeconds;
  const of = (kind: TimelineMark['kind']) => events.filter((event) => event.kind === kind && isSeen(event));
  const requests = layOutRequests(of('request'), leastSeconds);
  const misses = of('miss');
  const arrivals = of('bytes');

  const strips: { name: string; center: number }[] = [];
  let height = 0;
  /** The top of the next strip. */
  const place = (name: string, stripHeight: number, isThere: boolean) => {
    if (!isThere) return height;
    const top = height === 0 ? 0 : height + gap;
    height = top + stripHeight;
    strips.push({ name, center: top + stripHeight / 2 });
    return top;
  };
  const phaseTop = place('phases', phaseHeight, true);
  const lanesTop = place('requests', requestsHeight, requests.bars.length > 0);
  const missTop = place('misses', missHeight, withMisses);
  const bytesTop = place('bytes', bytesHeight, arrivals.length > 0);

  const lane = Math.min(maxLaneHeight, requestsHeight / requests.laneCount);
  return {
    ...{ mode, readySeconds: ready.atMs / 1000, endSeconds, totalBytes: ready.bytes, height, strips },
    ...{ requestCount: of('request').length, missCount: misses.length },
    phases: of('phase').map(({ what, atMs, endMs = atMs }) => ({
      ...{ phase: what ?? '', from: atMs / 1000, to: endMs / 1000 },
      ...{ top: phaseTop, bottom: phaseTop + phaseHeight },
    })),
    requests: requests.bars.map(({ laneIndex, ...bar }) => ({
      ...{ ...bar, top: lanesTop + laneIndex * lane, bottom: lanesTop + (laneIndex + 0.85) * lane },
    })),
    misses: misses.map(({ atMs, endMs = atMs }) => ({
      ...{ from: atMs / 1000, to: endMs / 1000, top: missTop, bottom: missTop + missHeight },
    })),
    bytes: accumulate(arrivals, ready.atMs / 1000).map(({ seconds, share }) => ({
      ...{ from: seconds, top: bytesTop + (1 - share) * bytesHeight, bottom: bytesTop + bytesHeight },
    })),
  };
}

interface LaneBar {
  readonly name: RequestName;
  readonly isWaiting: boolean;
  readonly from: number;
  readonly to: number;
  readonly laneIndex: number;
}

/** Each request in the first lane that is free, in the order in which they were sent. */
function layOutRequests(requests: readonly TimelineMark[], leastSeconds: number) {
  const freeAt: number[] = [];
  const bars = requests
    .toSorted((one, other) => one.atMs - other.atMs)
    .flatMap(({ what, atMs, firstByteMs, endMs }): LaneBar[] => {
      const from = atMs / 1000;
      const begins = (firstByteMs ?? endMs ?? atMs) / 1000;
      const ends = Math.max((endMs ?? atMs) / 1000, begins + leastSeconds);
      const found = freeAt.findIndex((free) => free <= from);
      const laneIndex = found < 0 ? freeAt.length : found;
      freeAt[laneIndex] = ends;
      const common = { name: nameOf[what as RequestKind] ?? 'manifest', laneIndex };
      return [
        { ...common, isWaiting: true, from, to: begins },
        { ...common, isWaiting: false, from: begins, to: ends },
      ];
    });
  return { bars, laneCount: freeAt.length };
}

/** From nothing at the start of the pull, to all at the end. */
function accumulate(
  arrivals: readonly TimelineMark[],
  readySeconds: number,
): { readonly seconds: number; readonly share: number }[] {
  const total = arrivals.reduce((sum, { bytes = 0 }) => sum + bytes, 0) || 1;
  const points = [{ seconds: 0, share: 0 }];
  let sum = 0;
  for (const { atMs, endMs = atMs, bytes = 0 } of arrivals.toSorted((one, other) => one.atMs - other.atMs)) {
    points.push({ seconds: atMs / 1000, share: sum / total });
    sum += bytes;
    points.push({ seconds: endMs / 1000, share: sum / total });
  }
  if (points.at(-1)!.seconds < readySeconds) points.push({ seconds: readySeconds, share: 1 });
  return points;
}
