import type { BenchRun } from '../../measurements/bench-run.ts';
import { MeasurementError } from '../../measurements/error.ts';
import { describeCommit } from '../../measurements/format.ts';
import {
  type CompareOptions,
  compareRuns,
  describeConditions,
  describeNothing,
  type RunComparison,
} from '../../measurements/run-comparison.ts';
import { median } from '../../measurements/stats/median.ts';
import { changeHeads, changeRow, describeChanges } from '../run/changes.ts';
import { markdownTable } from './markdown.ts';

/** Two runs beside each other, as they are reported. */
export interface ComparedRuns extends RunComparison {
  readonly base: BenchRun;
  readonly head: BenchRun;
}

/** Compares two runs, group by group. Throws MeasurementError where they have nothing in common. */
export function compareForReport(base: BenchRun, head: BenchRun, options: CompareOptions): ComparedRuns {
  const comparison = compareRuns(base, head, options);
  if (comparison.changes.length === 0) {
    const { message, remedy } = describeNothing(base, head, comparison.excluded);
    throw new MeasurementError('no-samples', message, { remedy });
  }
  return { ...comparison, base, head };
}

/** What a reader must know before the numbers: which runs, and what else differs between them. */
export function describeSides({ base, head }: ComparedRuns): string[] {
  const side = ({ environment }: BenchRun) => `run ${environment.runId}, ${describeCommit(environment)}`;
  const conditions = describeConditions(base, head);
  return [
    `From ${side(base)} to ${side(head)}.`,
    conditions.length === 0
      ? 'Times are of two runs, so that what else changed between them counts as well.'
      : `The second was measured on ${conditions.join(', ')}, which alone may explain any change of times.`,
  ];
}

export function comparisonMarkdown(compared: ComparedRuns): string {
  const { changes, excluded } = compared;
  const left = excluded.map((what) => `- ${what}`).join('\n');
  return [
    `### ${describeChanges(compared)}`,
    describeSides(compared).join(' '),
    markdownTable(changeHeads, changes.map(changeRow)),
    ...(excluded.length === 0
      ? []
      : [`<details><summary>Not compared: ${excluded.length}</summary>\n\n${left}\n\n</details>`]),
    '',
  ].join('\n\n');
}

/** Ratios are after / before: below 1 is less. */
export function comparisonJson(compared: ComparedRuns): string {
  const { base, head, changes, excluded } = compared;
  const side = ({ environment }: BenchRun) => ({
    ...{ runId: environment.runId, commit: environment.commit, dirty: environment.dirty, command: environment.command },
  });
  const rows = changes.map(
    ({ workload, mode, rttMs, bandwidthMbps, tcp, total, bytesRatio, requestsRatio, ...sides }) => ({
      ...{ workload, mode, rttMs, bandwidthMbps, tcp },
      baseMedianMs: sides.base.totalMs && median(sides.base.totalMs),
      headMedianMs: sides.head.totalMs && median(sides.head.totalMs),
      ...{ total, bytesRatio, requestsRatio },
    }),
  );
  const record = { schema: 1, base: side(base), head: side(head), title: describeChanges(compared), rows, excluded };
  return `${JSON.stringify(record, undefined, 2)}\n`;
}
