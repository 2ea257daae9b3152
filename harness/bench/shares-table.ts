import { formatShare } from '../../measurements/format.ts';
import { baselineMode, type Group, type Summary } from '../../measurements/summary.ts';
import { type Paint, visibleLength } from '../cli/terminal.ts';

const minWorkloadWidth = 10;
const pullWidth = 15;
const lineWidth = 79;

/**
 * The two figures by which Slacker (Harter et al., FAST '16) argues for lazy pulling: how much of a start is the pull, and how
 * much of the image a start needs. Per workload, and the medians. Empty where neither was measured, and
 * of a run over several links, where summary.csv has them.
 */
export function renderShares(summary: Summary, paint: Paint): string {
  const { groups, overall } = summary;
  const modes = fitting(overall.filter((mode) => isFirstRun(mode.mode) && mode.imageShare !== undefined));
  const pull = overall.find(({ mode }) => mode === baselineMode)?.pullShare;
  if ((pull === undefined && modes.length === 0) || summary.links.length > 1) return '';
  const workloads = summary.workloads.filter((name) => groups.some(({ workload }) => workload === name));
  const workloadWidth = Math.max(minWorkloadWidth, ...workloads.map((name) => name.length + 1));
  const row = (title: string, share: string, images: readonly string[]) =>
    title +
    ' '.repeat(workloadWidth - visibleLength(title)) +
    share.padStart(pullWidth) +
    images.map((text, index) => text.padStart(widthOf(modes[index]!.mode))).join('');
  const of = (workload: string, mode: string): Group | undefined =>
    groups.find((group) => group.workload === workload && group.mode === mode);
  const lines = workloads.map((name) =>
    row(
      paint.bold(name),
      formatShare(of(name, baselineMode)?.pullShare),
      modes.map(({ mode }) => formatShare(of(name, mode)?.imageShare)),
    ),
  );
  const medians = row(
    paint.bold('median'),
    formatShare(pull),
    modes.map(({ imageShare }) => formatShare(imageShare)),
  );
  return [
    'Of the start, the part that is the pull; of the image, the part that is fetched',
    '',
    paint.dim(
      row(
        'workload',
        'pull (legacy)',
        modes.map(({ mode }) => mode),
      ),
    ),
    paint.dim('─'.repeat(lineWidth)),
    ...lines,
    ...(workloads.length > 1 ? [paint.dim('─'.repeat(lineWidth)), medians] : []),
    '',
  ].join('\n');
}

/** What fits beside each other; all are in summary.csv. */
function fitting<T extends { readonly mode: string }>(modes: readonly T[]): T[] {
  const widthUpTo = (count: number) => modes.slice(0, count).reduce((sum, { mode }) => sum + widthOf(mode), 0);
  return modes.filter((_, index) => minWorkloadWidth + pullWidth + widthUpTo(index + 1) <= lineWidth);
}

/** A second run finds the image there. */
function isFirstRun(mode: string): boolean {
  return mode !== baselineMode && !mode.includes('+');
}

function widthOf(mode: string): number {
  return Math.max(10, mode.length + 2);
}
