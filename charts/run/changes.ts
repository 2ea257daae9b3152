import { verdicts } from '../../measurements/comparison.ts';
import { formatSeconds } from '../../measurements/format.ts';
import { formatChange } from '../../measurements/gate.ts';
import { compareWithin, type RunChange, type RunComparison } from '../../measurements/run-comparison.ts';
import { median } from '../../measurements/stats/median.ts';
import { linkName, type Run, summaryOf } from './run.ts';

/** What changed from the commit that `bench --base` measured beside this one. Undefined for a run without it. */
export function changesFromBase(run: Run): RunComparison | undefined {
  const comparison = compareWithin(summaryOf(run));
  return comparison.changes.length === 0 ? undefined : comparison;
}

/** `1 faster, 2 slower, 9 no difference shown` */
export function describeChanges({ changes }: RunComparison): string {
  const counts = verdicts.flatMap((verdict) => {
    const count = changes.filter(({ total }) => total?.verdict === verdict).length;
    return count === 0 ? [] : [`${count} ${verdict}`];
  });
  const failed = changes.filter(({ total }) => total === undefined).length;
  return [...counts, ...(failed === 0 ? [] : [`${failed} without a good sample on one side`])].join(', ');
}

export const changeHeads = [
  ...[
    'workload',
    'mode',
    'link',
    '#before s',
    '#after s',
    '#change',
    '#95 % interval',
    'verdict',
    '#bytes',
    '#requests',
  ],
] as const;

/** The texts of a row, in the order of `changeHeads`. */
export function changeRow(change: RunChange): string[] {
  const { workload, mode, base, head, total, bytesRatio, requestsRatio } = change;
  const interval = total?.ratioInterval;
  return [
    ...[workload, mode, linkName(change)],
    ...[formatSeconds(base.totalMs && median(base.totalMs)), formatSeconds(head.totalMs && median(head.totalMs))],
    formatChange(total?.ratio),
    interval === undefined ? '' : `${formatChange(interval.low)} to ${formatChange(interval.high)}`,
    total?.verdict ?? 'failed',
    ...[formatChange(bytesRatio), formatChange(requestsRatio)],
  ];
}
