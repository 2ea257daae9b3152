import { formatChange } from '../../measurements/gate.ts';
import { formatSampleLink, formatSeconds } from '../../measurements/format.ts';
import { median } from '../../measurements/stats/median.ts';
import { isSameLink } from '../../measurements/summary.ts';
import type { RunChange } from '../../measurements/run-comparison.ts';

const headings = ['workload', 'mode', 'base s', 'head s', 'total', '95 %', '', 'bytes', 'requests'];
/** Names and verdicts. */
const leftAligned = [0, 1, 6];

/** A row per group, a heading per link where there are several. Changes are head relative to base: +5 % is more. */
export function renderChanges(changes: readonly RunChange[]): string {
  const links = changes.filter((change, index) => changes.findIndex((one) => isSameLink(one, change)) === index);
  const rowsOf = (link: RunChange) => changes.filter((change) => isSameLink(change, link)).map(cellsOf);
  const all = [headings, ...links.flatMap(rowsOf)];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        leftAligned.includes(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join('  ')
      .trimEnd();
  const rule = '─'.repeat(widths.reduce((sum, width) => sum + width + 2, -2));
  return links
    .map((link) => {
      const heading = links.length === 1 ? undefined : formatSampleLink(link);
      const title = heading === undefined ? [] : [heading, ''];
      return [...title, line(headings), rule, ...rowsOf(link).map(line), ''].join('\n');
    })
    .join('\n');
}

function cellsOf({ workload, mode, base, head, total, bytesRatio, requestsRatio }: RunChange): string[] {
  const interval = total?.ratioInterval;
  return [
    workload,
    mode,
    formatSeconds(base.totalMs && median(base.totalMs)),
    formatSeconds(head.totalMs && median(head.totalMs)),
    formatChange(total?.ratio),
    interval === undefined ? '' : `${formatChange(interval.low)} to ${formatChange(interval.high)}`,
    total?.verdict ?? (head.failedCount > 0 ? 'failed' : ''),
    formatChange(bytesRatio),
    formatChange(requestsRatio),
  ];
}
