import { formatSampleLink, formatMegabytes, formatRatio, formatSeconds } from '../../measurements/format.ts';
import { samplesForVerdict, type Verdict } from '../../measurements/comparison.ts';
import { describeDrift } from '../../measurements/drift.ts';
import { type Group, isSameLink, type Overall, type SampleLink, type Summary } from '../../measurements/summary.ts';
import { type Paint, visibleLength } from '../cli/terminal.ts';

interface Layout {
  readonly workload: number;
  readonly mode: number;
  readonly phase: number;
  readonly total: number;
  readonly megabytes: number;
  readonly speedUp: number;
  /** 0: without one. */
  readonly verdict: number;
  readonly bar: number;
}

const widthColumns = 79;
const minWorkloadWidth = 10;
const minModeWidth = 9;
const minBarWidth = 2;
const plainLayout = { phase: 8, total: 9, megabytes: 8, speedUp: 10, verdict: 0 };
const verdictLayout = { phase: 7, total: 8, megabytes: 7, speedUp: 9, verdict: 9 };
/** In the table, where a column is narrow. */
const shortVerdicts: Readonly<Record<Verdict, string>> = {
  faster: 'faster',
  slower: 'slower',
  'no difference shown': 'no diff',
  'too few samples': 'too few',
};

/** What is measured, over which link, how often; a table for each link; what limits what it says. */
export function renderResult(summary: Summary, paint: Paint): string {
  const [only, ...more] = summary.links;
  const each = describeCounts(summary);
  const place = more.length === 0 && only !== undefined ? `${describeLink(only)}, ` : '';
  const heading = `${paint.bold('Seconds from pull to ready')}, ${place}${each}`;
  const layout = layOut(summary);
  const tables = summary.links.map((link) => {
    const title = more.length === 0 ? '' : `${paint.bold(describeLink(link))}\n\n`;
    return title + renderTable(summary, link, layout, paint);
  });
  const notes = renderNotes(summary).map((note) => `${paint.dim(note)}\n`);
  return `${heading}\n\n${tables.join('\n')}${notes.join('')}`;
}

function describeCounts({ groups }: Summary): string {
  const counts = groups.map(({ samples, failedCount }) => samples.length + failedCount);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  if (least !== most) return `${least} to ${most} samples each`;
  return most === 1 ? '1 sample each' : `${most} samples each`;
}

function describeLink(link: SampleLink): string {
  return formatSampleLink(link) ?? 'no emulated link';
}

/** 80 columns unless a name is long, as that of a peer's mode. The column of verdicts is there if it says anything. */
function layOut({ groups, overall }: Summary): Layout {
  const saysAnything = [...groups, ...overall].some(({ verdict }) => verdict && verdict !== 'too few samples');
  const fixed = saysAnything ? verdictLayout : plainLayout;
  const workload = Math.max(minWorkloadWidth, ...groups.map((group) => group.workload.length + 1));
  const mode = Math.max(minModeWidth, ...groups.map((group) => group.mode.length + 1));
  const others = workload + mode + 3 * fixed.phase + fixed.total + fixed.megabytes + fixed.speedUp + fixed.verdict;
  return { workload, mode, ...fixed, bar: Math.max(minBarWidth, widthColumns - 1 - others) };
}

/**
 * Seconds are the phases of the sample with the median total, so that they add up. The bar is that total, relative to the slowest mode of
 * the workload over this link.
 */
function renderTable(summary: Summary, link: SampleLink, layout: Layout, paint: Paint): string {
  const here = summary.groups.filter((group) => isSameLink(group, link));
  const width = Object.values({ ...layout, phase: 3 * layout.phase }).reduce((sum, one) => sum + one, 1);
  const rule = paint.dim('─'.repeat(width));
  const blocks = [...Map.groupBy(here, (group) => group.workload)].map(([workload, groups]) => {
    const slowestMs = Math.max(...groups.map((group) => group.middle?.totalMs ?? 0));
    return groups
      .map((group, index) => renderGroup(group, index === 0 ? workload : '', slowestMs, layout, paint))
      .join('\n');
  });
  const overall = summary.overall.filter((mode) => mode.speedUp !== undefined && isSameLink(mode, link));
  return [
    paint.dim(renderCells(['workload', 'mode', 'pull', 'create', 'run', 'total', 'MB', 'speed-up', '', ''], layout)),
    rule,
    blocks.join('\n\n'),
    rule,
    ...overall.map((mode, index) => renderOverall(mode, index === 0, layout, paint)),
    '',
  ].join('\n');
}

function renderGroup(group: Group, title: string, slowestMs: number, layout: Layout, paint: Paint): string {
  const { middle } = group;
  const failed = group.failedCount > 0 ? paint.red(`  ${group.failedCount} failed`) : '';
  if (middle === undefined) return renderCells([paint.bold(title), group.mode, failed], layout);
  const bar = '▇'.repeat(Math.max(1, Math.round((middle.totalMs / slowestMs) * layout.bar)));
  const cells = renderCells(
    [
      paint.bold(title),
      group.mode,
      formatSeconds(middle.pullMs),
      formatSeconds(middle.createMs),
      formatSeconds(middle.runMs),
      paint.bold(formatSeconds(middle.totalMs)),
      formatMegabytes(group.medianWireBytes),
      formatRatio(group.speedUp),
      layout.verdict === 0 ? '' : paintVerdict(group.verdict, paint),
      ` ${paint.cyan(bar)}`,
    ],
    layout,
  );
  return cells.trimEnd() + failed;
}

function renderOverall(mode: Overall, first: boolean, layout: Layout, paint: Paint): string {
  const interval = mode.speedUpInterval;
  const range = interval ? ` (95 %: ${formatRatio(interval.low)} to ${formatRatio(interval.high)})` : '';
  const words = `  geometric mean of ${mode.workloadCount}${range}`;
  const names = (first ? paint.bold('all') : '   ') + ' '.repeat(layout.workload - 3) + mode.mode.padEnd(layout.mode);
  const ratio = paint.bold(formatRatio(mode.speedUp));
  const room = 3 * layout.phase + layout.total + layout.megabytes + layout.speedUp;
  const gap = ' '.repeat(Math.max(1, room - words.length - visibleLength(ratio)));
  const verdict = layout.verdict === 0 ? '' : paintVerdict(mode.verdict, paint);
  return names + paint.dim(words) + gap + ratio + verdict;
}

function paintVerdict(verdict: Verdict | undefined, paint: Paint): string {
  if (verdict === undefined) return '';
  const words = `  ${shortVerdicts[verdict]}`;
  if (verdict === 'faster') return paint.green(words);
  return verdict === 'slower' ? paint.red(words) : paint.dim(words);
}

/** What the words in the table mean, and what limits what they say. */
function renderNotes(summary: Summary): string[] {
  const shown = new Set([...summary.groups, ...summary.overall].map(({ verdict }) => verdict));
  const outlierCount = summary.groups.reduce((sum, { outliers }) => sum + outliers.length, 0);
  const drift = describeDrift(summary.drift);
  return [
    ...(shown.has('too few samples')
      ? [`too few for a verdict: fewer than ${samplesForVerdict(summary.comparisonCount)} samples of each (--samples)`]
      : []),
    ...(shown.has('no difference shown') ? ['no diff: no difference shown, or one below 2 %'] : []),
    ...(outlierCount > 0 ? [`outliers: ${outlierCount} of the samples are far from the others; they count`] : []),
    ...(drift === undefined ? [] : [`drift: ${drift}`]),
  ];
}

/** Names, verdicts and bars are left-aligned, numbers right-aligned. */
function renderCells(cells: readonly string[], layout: Layout): string {
  const { workload, mode, phase, total, megabytes, speedUp, verdict, bar } = layout;
  const widths = [workload, mode, phase, phase, phase, total, megabytes, speedUp, verdict, bar + 1];
  return cells
    .map((cell, index) => {
      const padding = ' '.repeat(Math.max(0, widths[index]! - visibleLength(cell)));
      return index < 2 || index >= 8 ? cell + padding : padding + cell;
    })
    .join('')
    .trimEnd();
}
