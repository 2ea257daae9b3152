import { formatFactor, formatMegabytes, formatRatio, formatSeconds } from '../../measurements/format.ts';
import type { Group } from '../../measurements/summary.ts';
import type { LinkRun, Run } from '../run/run.ts';

/** A row of the table of results: one workload in one mode over one link. */
export interface Cell {
  readonly id: string;
  readonly category: string;
  readonly at: LinkRun;
  readonly group: Group;
}

/** A column: what it shows, and by what it is sorted. */
export interface CellColumn {
  readonly key: string;
  readonly title: string;
  readonly kind: 'text' | 'number';
  readonly value: (cell: Cell) => string | number | undefined;
  readonly text: (cell: Cell) => string;
}

export function cellsOf(run: Run): Cell[] {
  return run.links.flatMap((at) =>
    at.groups.map((group) => ({
      id: cellId(group.workload, group.mode, linkId(at)),
      category: run.categories.get(group.workload) ?? '',
      at,
      group,
    })),
  );
}

export function cellId(workload: string, mode: string, link: string): string {
  return `${workload}|${mode}|${link}`;
}

/** `30ms-200mbit`, for addresses. */
export function linkId({ link }: LinkRun): string {
  return link === undefined
    ? 'no-link'
    : `${link.rttMs}ms-${link.bandwidthMbps ?? 'un'}${link.bandwidthMbps ? 'mbit' : 'limited'}${link.tcp ? `-tcp-${link.tcp.lossShare}` : ''}`;
}

/** The columns that this run fills: no category and no link where there is nothing to tell apart. */
export function columnsOf(run: Run): CellColumn[] {
  return [
    text('workload', 'workload', ({ group }) => group.workload),
    ...(run.categories.size > 0 ? [text('category', 'category', ({ category }) => category)] : []),
    text('mode', 'mode', ({ group }) => group.mode),
    ...(run.links.length > 1 ? [text('link', 'link', ({ at }) => at.name)] : []),
    number(
      'n',
      'n',
      ({ samples }) => samples.length,
      (n, { failedCount }) => (failedCount > 0 ? `${n} + ${failedCount} failed` : `${n}`),
    ),
    number('pull', 'pull s', ({ middle }) => middle?.pullMs, formatSeconds),
    number('create', 'create s', ({ middle }) => middle?.createMs, formatSeconds),
    number('run', 'run s', ({ middle }) => middle?.runMs, formatSeconds),
    number('total', 'total s', ({ middle }) => middle?.totalMs, formatSeconds),
    number('wire', 'MB', ({ medianWireBytes }) => medianWireBytes, formatMegabytes),
    number(
      'requests',
      'requests',
      ({ medianWireRequests }) => medianWireRequests,
      (count) => count.toFixed(0),
    ),
    number(
      'rss',
      'RSS MiB',
      ({ maxDaemonRssKib }) => maxDaemonRssKib && maxDaemonRssKib / 1024,
      (mib) => mib.toFixed(0),
    ),
    number(
      'speedup',
      'speed-up',
      ({ speedUp }) => speedUp,
      (ratio, { speedUpInterval: interval }) =>
        interval === undefined
          ? formatRatio(ratio)
          : `${formatRatio(ratio)} (${formatFactor(interval.low)} to ${formatFactor(interval.high)})`,
    ),
    text('verdict', 'verdict', ({ group }) => group.verdict ?? ''),
  ];
}

function text(key: string, title: string, read: (cell: Cell) => string): CellColumn {
  return { key, title, kind: 'text', value: (cell) => read(cell) || undefined, text: read };
}

function number(
  key: string,
  title: string,
  read: (group: Group) => number | undefined,
  format: (value: number, group: Group) => string,
): CellColumn {
  const show = ({ group }: Cell) => {
    const value = read(group);
    return value === undefined ? '' : format(value, group);
  };
  return { key, title, kind: 'number', value: ({ group }) => read(group), text: show };
}
