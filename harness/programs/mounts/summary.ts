import { median, sortSamples } from '../../../measurements/stats/median.ts';
import { demandRow } from './demand.ts';
import type { Sample } from './measure.ts';
import { type Condition, rows } from './rows.ts';

/** A line of mounts-summary.csv. */
export interface SummaryLine {
  readonly row: string;
  readonly title: string;
  readonly condition: Condition;
  readonly backend: string;
  readonly samples: number;
  readonly median_ms: number;
  /** Median over the rounds of the time by overlayfs's time in the same round. */
  readonly ratio: number;
  readonly target: number | undefined;
  readonly met: string | undefined;
}

export function summarize(samples: readonly Sample[]): SummaryLine[] {
  const groups = Map.groupBy(samples, ({ row, condition, backend }) => `${row} ${condition} ${backend}`);
  const plain = new Map(
    samples
      .filter(({ backend }) => backend === 'overlayfs')
      .map(({ row, condition, round, durationMs }) => [`${row} ${condition} ${round}`, durationMs]),
  );
  const lines = [...groups.values()].flatMap((group): SummaryLine[] => {
    const { row, condition, backend } = group[0]!;
    const ratios = group.flatMap((sample) => {
      const plainMs = plain.get(`${row} ${condition} ${sample.round}`);
      return plainMs === undefined ? [] : [sample.durationMs / plainMs];
    });
    const [times, sorted] = [sortSamples(group.map(({ durationMs }) => durationMs)), sortSamples(ratios)];
    if (times === undefined || sorted === undefined) return [];
    const known = condition === 'demand' ? demandRow : rows.find(({ key }) => key === row)!;
    const target = 'target' in known ? known.target : known.targets[condition as 'warm' | 'cold'][backendKind(backend)];
    const aim = backend === 'overlayfs' ? undefined : target;
    const ratio = median(sorted);
    const met = aim === undefined ? undefined : ratio <= aim ? 'yes' : 'no';
    const facts = { row, title: known.title, condition, backend, samples: times.length, median_ms: median(times) };
    return [{ ...facts, ratio, target: aim, met }];
  });
  return lines.sort((left, right) => orderOf(left) - orderOf(right) || left.backend.localeCompare(right.backend));
}

/** `fuse-1` is FUSE with other options, and held to the same. */
function backendKind(backend: string): string {
  return backend.split('-')[0]!;
}

function orderOf({ condition, row, backend }: SummaryLine): number {
  const place = ['warm', 'cold', 'demand'].indexOf(condition) * 100 + rows.findIndex(({ key }) => key === row) * 10;
  return place + ['overlayfs', 'erofs', 'fuse'].indexOf(backendKind(backend));
}

export function renderTable(lines: readonly SummaryLine[], { headed }: { readonly headed: boolean }): string {
  const head = `${'what'.padEnd(42)}${'mount'.padEnd(10)}${'median ms'.padStart(10)}${'ratio'.padStart(8)}  at most`;
  const body = lines.map(({ title, condition, backend, median_ms, ratio, target, met }) => {
    const aim = target === undefined ? '' : `${target.toFixed(2).padStart(9)}${met === 'yes' ? '' : '  MISSED'}`;
    const what = `${condition.padEnd(7)}${title}`.padEnd(42);
    return `${what}${backend.padEnd(10)}${median_ms.toFixed(1).padStart(10)}${ratio.toFixed(2).padStart(8)}${aim}`;
  });
  return [...(headed ? [head] : []), ...body].join('\n');
}
