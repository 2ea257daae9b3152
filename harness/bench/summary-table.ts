import type { LinkSetting } from '../../measurements/environment.ts';
import { formatLink, formatMegabytes, formatRatio, formatSeconds } from '../../measurements/format.ts';
import type { Group, Overall, Summary } from '../../measurements/summary.ts';
import { type Paint, visibleLength } from '../cli/terminal.ts';

const headings = ['workload', 'mode', 'pull', 'create', 'run', 'total', 'MB', 'speed-up', ''] as const;
type Widths = readonly number[];
const barWidth = 8;
const minWorkloadWidth = 10;
const minModeWidth = 9;
const speedUpWidth = 10;
/** How far the bar shrinks for long mode names: `estargz/erofs`. */
const maxBarCut = 5;
/** Width of the number columns between mode and speed-up. */
const wordsWidth = 41;

/** What is measured, on which link, how often; then the table. */
export function renderResult(
  summary: Summary,
  { link, samples }: { readonly link: LinkSetting; readonly samples: number },
  paint: Paint,
): string {
  const each = samples === 1 ? '1 sample' : `${samples} samples`;
  const heading = `${paint.bold('Seconds from pull to ready')}, ${formatLink(link)}, ${each} each`;
  return `${heading}\n\n${renderSummary(summary, paint)}`;
}

/**
 * The table at the end of a run, in 80 columns unless a mode's name is long, as that of a peer's. Seconds are the phases of the sample with the median total, so that they add
 * up. The bar is that total, relative to the slowest mode of the workload.
 */
function renderSummary(summary: Summary, paint: Paint): string {
  const workloads = [...new Set(summary.groups.map((group) => group.workload))];
  const modeWidth = Math.max(minModeWidth, ...summary.groups.map((group) => group.mode.length + 1));
  const workloadWidth = Math.max(minWorkloadWidth, ...workloads.map((workload) => workload.length + 1));
  const barCut = Math.min(maxBarCut, modeWidth - minModeWidth + workloadWidth - minWorkloadWidth);
  const widths: Widths = [workloadWidth, modeWidth, 8, 8, 8, 9, 8, speedUpWidth, barWidth - barCut + 1];
  const rule = paint.dim(
    '─'.repeat(
      Math.max(
        79,
        widths.reduce((sum, width) => sum + width, 0),
      ),
    ),
  );
  const blocks = workloads.map((workload) => {
    const groups = summary.groups.filter((group) => group.workload === workload);
    const slowestMs = Math.max(...groups.map((group) => group.middle?.totalMs ?? 0));
    return groups
      .map((group, index) => renderGroup(group, index === 0 ? workload : '', slowestMs, widths, paint))
      .join('\n');
  });
  return [
    paint.dim(renderCells(headings, widths)),
    rule,
    blocks.join('\n\n'),
    rule,
    ...summary.overall
      .filter((mode) => mode.speedUp !== undefined)
      .map((mode, index) => renderOverall(mode, index === 0, widths, paint)),
    '',
  ].join('\n');
}

function renderGroup(group: Group, title: string, slowestMs: number, widths: Widths, paint: Paint): string {
  const { middle } = group;
  const failed = group.failedCount > 0 ? paint.red(`  ${group.failedCount} failed`) : '';
  if (middle === undefined) return renderCells([paint.bold(title), group.mode, failed], widths);
  const bar = '▇'.repeat(Math.max(1, Math.round((middle.totalMs / slowestMs) * (widths[8]! - 1))));
  const cells = renderCells(
    [
      paint.bold(title),
      group.mode,
      formatSeconds(middle.pullMs),
      formatSeconds(middle.createMs),
      formatSeconds(middle.runMs),
      paint.bold(formatSeconds(middle.totalMs)),
      formatMegabytes(group.medianWireBytes),
      paint.green(formatRatio(group.speedUp)),
      ` ${paint.cyan(bar)}`,
    ],
    widths,
  );
  return cells.trimEnd() + failed;
}

function renderOverall(mode: Overall, first: boolean, widths: Widths, paint: Paint): string {
  const [workloadWidth = 0, modeWidth = 0] = widths;
  const interval = mode.speedUpInterval;
  const range = interval ? ` (95 %: ${formatRatio(interval.low)} to ${formatRatio(interval.high)})` : '';
  const words = `  geometric mean of ${mode.workloadCount}${range}`;
  const names = (first ? paint.bold('all') : '   ') + ' '.repeat(workloadWidth - 3) + mode.mode.padEnd(modeWidth);
  const ratio = paint.green(paint.bold(formatRatio(mode.speedUp)));
  return names + paint.dim(words.padEnd(wordsWidth)) + ' '.repeat(speedUpWidth - visibleLength(ratio)) + ratio;
}

/** Names are left-aligned, numbers right-aligned. */
function renderCells(cells: readonly string[], widths: Widths): string {
  return cells
    .map((cell, index) => {
      const padding = ' '.repeat(Math.max(0, widths[index]! - visibleLength(cell)));
      return index < 2 || index === 8 ? cell + padding : padding + cell;
    })
    .join('')
    .trimEnd();
}
