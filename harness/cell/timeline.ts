import type { RequestKind, StartEvent } from '../../measurements/timeline.ts';
import type { LinkCounters } from '../link/link.ts';
import type { Arrival, LinkTrace, TracedRequest } from '../link/link-trace.ts';
import { contentFetches, type Fetch, readMisses } from './daemon-trace.ts';

export type MeasuredPhase = 'pull' | 'create' | 'run';

/** What a traced start leaves. Times are milliseconds of CLOCK_MONOTONIC. */
export interface StartRecord {
  readonly phases: { readonly phase: MeasuredPhase; readonly startMs: number; readonly endMs: number }[];
  /** Of the wall clock, which the daemon's log has, over the monotonic one. */
  readonly wallOffsetMs: number;
  /** Of the image that was pulled; none where the engine does not keep them. */
  readonly layerDigests: readonly string[];
  /** Undefined: no link was emulated. */
  readonly link?: { readonly counters: LinkCounters; readonly trace: LinkTrace } | undefined;
  /** Of our daemon at the level `trace`. */
  readonly daemonLog?: string;
}

/** Arrivals are put together in slices of this share of the start, so that a long download has no more rows than a short one. */
const sliceShare = 1 / 250;
const minSliceMs = 2;

/** The events of a start in the order of their beginning. What has no source is absent. */
export function timelineOf(record: StartRecord): readonly StartEvent[] {
  const { phases, link, daemonLog = '', wallOffsetMs, layerDigests } = record;
  const originMs = phases[0]?.startMs ?? 0;
  const readyMs = (phases.at(-1)?.endMs ?? originMs) - originMs;
  const fetches = contentFetches(daemonLog);
  const events: StartEvent[] = [
    ...phases.map(({ phase, startMs, endMs }) => ({
      ...{ kind: 'phase' as const, what: phase, atMs: startMs - originMs, endMs: endMs - originMs },
    })),
    { kind: 'ready', atMs: readyMs, bytes: link?.counters.bytes },
    ...(link?.trace.requests ?? []).map((request) => describeRequest(request, originMs, fetches, layerDigests)),
    ...sliceArrivals(link?.trace.arrivals ?? [], originMs, Math.max(minSliceMs, readyMs * sliceShare)),
    ...readMisses(daemonLog).flatMap(({ atMs, endMs, ...miss }): StartEvent[] => {
      const at = atMs - wallOffsetMs - originMs;
      // Reads of a run that came before the measured one are not of this start.
      return at < 0 ? [] : [{ kind: 'miss', atMs: at, endMs: endMs - wallOffsetMs - originMs, ...miss }];
    }),
  ];
  return events.sort((one, other) => one.atMs - other.atMs);
}

function describeRequest(
  request: TracedRequest,
  originMs: number,
  fetches: readonly Fetch[],
  layerDigests: readonly string[],
): StartEvent {
  const { path, range, sentMs, firstByteMs, lastByteMs, bytes } = request;
  const since = (atMs: number | undefined) => (atMs === undefined ? undefined : atMs - originMs);
  return {
    kind: 'request',
    what: kindOf(request, fetches, layerDigests),
    ...{ atMs: sentMs - originMs, firstByteMs: since(firstByteMs), endMs: since(lastByteMs), bytes },
    layer: layerDigests.find((digest) => path.endsWith(digest)),
    range,
  };
}

/**
 * By its path and range, and who wanted a range by the daemon's log. Of a daemon that logs, what it has fetched of a layer without storing
 * content is the table of contents; of others, a range at the end of a blob.
 */
function kindOf(
  { path, range }: TracedRequest,
  fetches: readonly Fetch[],
  layerDigests: readonly string[],
): RequestKind {
  if (/\/manifests\/[^/]+$/.test(path)) return 'manifest';
  if (/\/referrers\/[^/]+$/.test(path)) return 'referrers';
  const digest = /\/blobs\/([^/]+)$/.exec(path)?.[1];
  if (digest === undefined) return 'other';
  if (range === undefined) return layerDigests.includes(digest) ? 'layer' : 'config';
  if (!layerDigests.includes(digest)) return 'other';
  const [first, last] = range.split('-').map(Number) as [number, number];
  if (range.startsWith('-')) return 'toc';
  const fetch = fetches.find((one) => one.layer === digest && one.first <= first && last <= one.last);
  return fetch?.priority ?? (fetches.length > 0 ? 'toc' : 'range');
}

function sliceArrivals(arrivals: readonly Arrival[], originMs: number, sliceMs: number): StartEvent[] {
  const slices = new Map<number, { firstMs: number; lastMs: number; bytes: number }>();
  for (const { atMs, bytes } of arrivals) {
    const at = atMs - originMs;
    const index = Math.floor(at / sliceMs);
    const slice = slices.get(index);
    if (slice === undefined) slices.set(index, { firstMs: at, lastMs: at, bytes });
    else {
      slice.firstMs = Math.min(slice.firstMs, at);
      slice.lastMs = Math.max(slice.lastMs, at);
      slice.bytes += bytes;
    }
  }
  return [...slices.values()].map(({ firstMs, lastMs, bytes }) => ({
    ...{ kind: 'bytes' as const, atMs: firstMs, endMs: lastMs, bytes },
  }));
}
