import type { Group, Overall, Summary } from './summary.ts';
import { formatMegabytes, formatRatio, formatSeconds, type Paint, visibleLength } from './terminal.ts';

const headings = ['workload', 'mode', 'pull', 'create', 'run', 'total', 'MB', 'speed-up', ''] as const;
const widths = [10, 9, 8, 8, 8, 9, 8, 10, 9] as const;
const barWidth = 8;
/** The number columns between the mode and the speed-up. */
const wordsWidth = 41;

/**
 * The result for a person: 80 columns. Seconds are the phases of the sample with the median total, so that they add up;
 * the bar is that total, per workload, against the slowest mode.
 */
export function renderSummary(summary: Summary, paint: Paint): string {
  const workloads = [...new Set(summary.groups.map((group) => group.workload))];
  const rule = paint.dim('─'.repeat(79));
  const blocks = workloads.map((workload) => {
    const groups = summary.groups.filter((group) => group.workload === workload);
    const slowestMs = Math.max(...groups.map((group) => group.medianRow?.totalMs ?? 0));
    return groups.map((group, index) => renderGroup(group, index === 0 ? workload : '', slowestMs, paint)).join('\n');
  });
  return [
    paint.dim(renderCells([...headings])),
    rule,
    blocks.join('\n\n'),
    rule,
    ...summary.overall
      .filter((mode) => mode.speedUp !== undefined)
      .map((mode, index) => renderOverall(mode, index === 0, paint)),
    '',
  ].join('\n');
}

function renderGroup(group: Group, title: string, slowestMs: number, paint: Paint): string {
  const row = group.medianRow;
  const failed = group.errorCount > 0 ? paint.red(`  ${group.errorCount} failed`) : '';
  if (row?.totalMs === undefined) return renderCells([paint.bold(title), group.mode.padEnd(widths[1]), failed]);
  const bar = '▇'.repeat(Math.max(1, Math.round((row.totalMs / slowestMs) * barWidth)));
  const cells = renderCells([
    paint.bold(title),
    group.mode,
    formatSeconds(row.pullMs),
    formatSeconds(row.createMs),
    formatSeconds(row.runMs),
    paint.bold(formatSeconds(row.totalMs)),
    formatMegabytes(group.medianWireBytes),
    paint.green(formatRatio(group.speedUp)),
    ` ${paint.cyan(bar)}`,
  ]);
  return cells.trimEnd() + failed;
}

function renderOverall(mode: Overall, first: boolean, paint: Paint): string {
  const interval = mode.speedUpInterval;
  const range = interval ? ` (95 %: ${formatRatio(interval.low)} to ${formatRatio(interval.high)})` : '';
  const words = `  geometric mean of ${mode.workloadCount}${range}`;
  const names = (first ? paint.bold('all') : '   ') + ' '.repeat(widths[0] - 3) + mode.mode.padEnd(widths[1]);
  const ratio = paint.green(paint.bold(formatRatio(mode.speedUp)));
  return names + paint.dim(words.padEnd(wordsWidth)) + ' '.repeat(widths[7] - visibleLength(ratio)) + ratio;
}

/** Names to the left, numbers to the right. */
function renderCells(cells: readonly string[]): string {
  return cells
    .map((cell, index) => {
      const padding = ' '.repeat(Math.max(0, widths[index]! - visibleLength(cell)));
      return index < 2 || index === 8 ? cell + padding : padding + cell;
    })
    .join('')
    .trimEnd();
}
