import { median, sortSamples } from '../../measurements/stats/median.ts';
import type { Group } from '../../measurements/summary.ts';
import type { LinkRun } from '../run/run.ts';

/** What no start over this link can beat, in seconds. */
export interface Floors {
  readonly workload: string;
  /** The compressed image over the link, without unpacking or starting. */
  readonly rawSeconds: number;
  /** The bytes that start-up needs over the link, three round trips (connect, ask, answer), and a start from local files. */
  readonly lazySeconds: number | undefined;
}

const roundTrips = 3;

/**
 * The floors of each workload over an emulated link. Start-up needs at most what the most frugal lazy mode fetched; a start from local
 * files is the run phase of legacy's second run, or of its first where there was none. Empty for a link without a bandwidth.
 */
export function floorsOf({ link, groups }: LinkRun): readonly Floors[] {
  if (link?.bandwidthMbps === undefined) return [];
  const bytesPerSecond = (link.bandwidthMbps * 1e6) / 8;
  return [...Map.groupBy(groups, (group) => group.workload)].flatMap(([workload, own]) => {
    const whole = own.find((group) => group.mode === 'legacy');
    const imageBytes = whole && medianOf(whole, (sample) => sample.imageBytes);
    if (whole === undefined || imageBytes === undefined) return [];
    const neededBytes = Math.min(
      ...own.filter(isLazy).map((group) => group.medianWireBytes ?? Number.POSITIVE_INFINITY),
    );
    const local = own.find((group) => group.mode === 'legacy+again') ?? whole;
    const runMs = medianOf(local, (sample) => sample.runMs);
    const lazySeconds =
      Number.isFinite(neededBytes) && runMs !== undefined
        ? neededBytes / bytesPerSecond + (roundTrips * link.rttMs + runMs) / 1000
        : undefined;
    return [{ workload, rawSeconds: imageBytes / bytesPerSecond, lazySeconds }];
  });
}

/** Whether its layers were mounted before their content was there. A second run fetches next to nothing, which is no need. */
export function isLazy({ mode, samples }: Group): boolean {
  return !mode.includes('+') && samples.some((sample) => (sample.lazyLayers ?? 0) > 0);
}

export function medianOf(
  { samples }: Group,
  read: (sample: Group['samples'][number]) => number | undefined,
): number | undefined {
  const sorted = sortSamples(samples.flatMap((sample) => read(sample) ?? []));
  return sorted && median(sorted);
}
