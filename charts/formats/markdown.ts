import { formatMegabytes, formatRatio, formatSeconds } from '../../measurements/format.ts';
import type { Interval } from '../../measurements/stats/median.ts';
import { cellsOf } from '../report/cells.ts';
import { describeRun, rankModes } from '../report/words.ts';
import { describeAllLinks, describeOrigin, reproduction } from '../run/conditions.ts';
import { changeHeads, changeRow, changesFromBase } from '../run/changes.ts';
import type { Run } from '../run/run.ts';

/** A run for a pull request or a job summary, in GitHub's Markdown: the verdict (of a user's own image, all of it), the means, and folded away every workload. */
export function runMarkdown(run: Run): string {
  const { title, lede } = describeRun(run);
  const several = run.links.length > 1;
  const means = run.links.flatMap((at) =>
    rankModes(at).map(({ mode, speedUp, speedUpInterval, verdict, workloadCount }) => [
      ...[mode, ...(several ? [at.name] : []), `**${formatRatio(speedUp)}**`, formatInterval(speedUpInterval)],
      ...[verdict ?? '', `${workloadCount}`],
    ]),
  );
  const cells = cellsOf(run).map(({ at, group }) => [
    ...[group.workload, group.mode, ...(several ? [at.name] : [])],
    group.failedCount > 0 ? `${group.samples.length} + ${group.failedCount} failed` : `${group.samples.length}`,
    ...[formatSeconds(group.middle?.totalMs), formatMegabytes(group.medianWireBytes)],
    ...[group.medianWireRequests?.toFixed(0) ?? '–', formatRatio(group.speedUp), formatInterval(group.speedUpInterval)],
    group.verdict ?? '',
  ]);
  const changes = changesFromBase(run);
  const link = several ? ['link'] : [];
  const meanHeads = ['mode', ...link, '#geometric mean', '#95 % interval', 'verdict', '#workloads'];
  const cellHeads = [
    'workload',
    'mode',
    ...link,
    '#n',
    '#total s',
    '#MB',
    '#requests',
    '#speed-up',
    '#95 % interval',
    'verdict',
  ];
  return [
    `### ${title}`,
    ...(run.verdict === undefined ? [] : [`\`\`\`text\n${run.verdict}\n\`\`\``]),
    lede.join(' '),
    ...(means.length === 0 ? [] : [markdownTable(meanHeads, means)]),
    ...(changes === undefined
      ? []
      : ['#### Beside the base commit', markdownTable(changeHeads, changes.changes.map(changeRow))]),
    `<details><summary>Every workload and mode</summary>\n\n${markdownTable(cellHeads, cells)}\n\n</details>`,
    `${describeAllLinks(run)}; run ${run.runId}, ${describeOrigin(run)}. Again: \`${run.environment?.command ?? reproduction(run, run.links)}\``,
    '',
  ].join('\n\n');
}

/** Heads that begin with # are of columns of numbers. */
export function markdownTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = heads.map((head) => (head.startsWith('#') ? '---:' : '---'));
  return [line(heads.map((head) => head.replace('#', ''))), line(rule), ...rows.map(line)].join('\n');
}

/** `2.8× to 3.0×`, or nothing. */
export function formatInterval(interval: Interval | undefined): string {
  return interval === undefined ? '' : `${formatRatio(interval.low)} to ${formatRatio(interval.high)}`;
}
