import type { Sample } from '../../measurements/sample.ts';
import { seededRandom } from '../../measurements/stats/random.ts';
import type { RequestKind, StartEvent, TimelineEvent } from '../../measurements/timeline.ts';

/** Made-up starts that fit these samples, one of each workload, mode and link. */
export function syntheticTimeline(samples: readonly Sample[]): TimelineEvent[] {
  const random = seededRandom(2);
  const uniform = () => random() / 2 ** 32;
  return samples
    .filter(({ sample, ok }) => sample === 1 && ok)
    .flatMap(({ runId, workload, mode, rttMs, bandwidthMbps, ...sample }) =>
      eventsOf(sample, mode.includes(':') ? ['range'] : ['prefetch', 'demand', 'background'], uniform).map((event) => ({
        runId,
        workload,
        mode,
        rttMs,
        bandwidthMbps,
        ...event,
      })),
    );
}

/** `kinds` are those of requests for content of lazy layers; a peer does not say who wanted it. */
function eventsOf(sample: Partial<Sample>, kinds: readonly RequestKind[], uniform: () => number): StartEvent[] {
  const { pullMs = 0, createMs = 0, runMs = 0, wireBytes = 0, wireRequests = 0, lazyLayers = 0 } = sample;
  const totalMs = pullMs + createMs + runMs;
  const whats = Array.from({ length: wireRequests }, (_, index): RequestKind => {
    if (index < 2) return 'manifest';
    if (index === 2) return 'config';
    if (lazyLayers === 0) return 'layer';
    return index < 3 + lazyLayers ? 'toc' : kinds[Math.floor(uniform() * kinds.length)]!;
  });
  const requests = whats.map((what, index): StartEvent => {
    const isEarly = index < 3 || what === 'toc';
    const atMs = isEarly ? index * 20 : uniform() * (what === 'demand' ? totalMs : pullMs) * 0.8;
    const firstByteMs = atMs + 10 + uniform() * 40;
    const endMs = firstByteMs + uniform() * (what === 'layer' ? pullMs * 0.7 : totalMs * 0.1);
    return { kind: 'request', what, atMs, firstByteMs, endMs, bytes: Math.round(wireBytes / wireRequests) };
  });
  return [
    { kind: 'phase', what: 'pull', atMs: 0, endMs: pullMs },
    { kind: 'phase', what: 'create', atMs: pullMs, endMs: pullMs + createMs },
    { kind: 'phase', what: 'run', atMs: pullMs + createMs, endMs: totalMs },
    ...requests,
    ...requests.map(({ endMs = 0, bytes }): StartEvent => ({ kind: 'bytes', atMs: endMs, endMs, bytes })),
    ...requests
      .filter(({ what }) => what === 'demand')
      .map(({ atMs, endMs }): StartEvent => ({ kind: 'miss', atMs, endMs, bytes: 4096, path: '/usr/bin/app' })),
    { kind: 'ready', atMs: totalMs, bytes: wireBytes },
  ];
}
