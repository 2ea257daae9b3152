import { describeChange, type RunChange, type RunComparison } from './run-comparison.ts';

export const gatedMetrics = ['bytes', 'requests', 'total'] as const;
export type GatedMetric = (typeof gatedMetrics)[number];

/** How much more each may be, as a share: 0.05 is 5 %. */
export type GateBounds = Readonly<Partial<Record<GatedMetric, number>>>;

export interface GateResult {
  /** What is more than allowed, or could not be looked at, each in words. */
  readonly faults: readonly string[];
  /** What was asked for and not judged, and why. */
  readonly notes: readonly string[];
}

/**
 * Bytes and requests are judged by their medians. Times only where they were interleaved on one machine, and only if the difference is
 * significant: hosted machines differ by more than half from day to day. What cannot be compared is a fault, or a gate would pass by
 * comparing nothing.
 */
export function judge({ changes, excluded }: RunComparison, bounds: GateBounds): GateResult {
  const faults = changes.flatMap((change) => [
    ...describeFailures(change),
    ...exceed(change, 'bytes', change.bytesRatio, bounds.bytes),
    ...exceed(change, 'requests', change.requestsRatio, bounds.requests),
    ...(change.isInterleaved && change.total?.verdict === 'slower'
      ? exceed(change, 'total', change.total.ratio, bounds.total)
      : []),
  ]);
  const times = changes.filter(({ isInterleaved }) => !isInterleaved);
  const fewer = changes.filter(({ isInterleaved, total }) => isInterleaved && total?.verdict === 'too few samples');
  const counted = [unknownOf(changes, bounds, 'bytes'), unknownOf(changes, bounds, 'requests')];
  return {
    faults: [
      ...excluded.map((what) => `not comparable: ${what}`),
      ...faults,
      ...counted.flatMap(({ fault }) => fault ?? []),
    ],
    notes: [
      ...counted.flatMap(({ note }) => note ?? []),
      ...(bounds.total === undefined || times.length === 0
        ? []
        : ['times of two runs are not judged: interleave them with bench --base REF']),
      ...(bounds.total === undefined || fewer.length === 0
        ? []
        : [`too few samples to judge the times of ${fewer.length} of ${changes.length}`]),
    ],
  };
}

/** Not every mode can count its requests, and a registry that is not ours has no link that counts bytes. */
function unknownOf(
  changes: readonly RunChange[],
  bounds: GateBounds,
  metric: 'bytes' | 'requests',
): { readonly fault?: string; readonly note?: string } {
  const worked = changes.filter(({ base, head }) => base.middle !== undefined && head.middle !== undefined);
  const unknown = worked.filter((change) => change[`${metric}Ratio`] === undefined).length;
  if (bounds[metric] === undefined || unknown === 0) return {};
  if (unknown === worked.length) return { fault: `no ${metric} were counted: nothing of them is compared` };
  return { note: `${metric} of ${unknown} of ${worked.length} were not counted, and are not judged` };
}

/** A group that worked and no longer does. */
function describeFailures(change: RunChange): string[] {
  const { base, head } = change;
  if (head.middle !== undefined || base.middle === undefined) return [];
  return [`${describeChange(change)}: all ${head.failedCount} samples failed`];
}

function exceed(
  change: RunChange,
  metric: GatedMetric,
  ratio: number | undefined,
  bound: number | undefined,
): string[] {
  if (bound === undefined || ratio === undefined || ratio <= 1 + bound) return [];
  return [`${describeChange(change)}: ${metric} ${formatChange(ratio)}, at most ${formatChange(1 + bound)}`];
}

/** `+5.2 %`, `-12 %`, `+0.0 %` */
export function formatChange(ratio: number | undefined): string {
  if (ratio === undefined) return '–';
  const percent = (ratio - 1) * 100;
  return `${percent < 0 ? '-' : '+'}${Math.abs(percent).toFixed(Math.abs(percent) < 9.95 ? 1 : 0)} %`;
}
