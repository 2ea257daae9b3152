import { holdTo, type Limit } from '../../../measurements/limit.ts';
import type { MountSummary } from '../../../measurements/mount-summary.ts';
import { median, sortSamples } from '../../../measurements/stats/median.ts';
import { demandOperation } from './demand.ts';
import type { MountSample } from './measure.ts';
import { operations } from './operations.ts';

export function summarize(samples: readonly MountSample[]): MountSummary[] {
  const groups = Map.groupBy(samples, ({ operation, condition, backend }) => `${operation} ${condition} ${backend}`);
  const plain = new Map(
    samples
      .filter(({ backend }) => backend === 'overlayfs')
      .map(({ operation, condition, sample, durationMs }) => [`${operation} ${condition} ${sample}`, durationMs]),
  );
  const lines = [...groups.values()].flatMap((group): MountSummary[] => {
    const { operation, condition, backend } = group[0]!;
    const ratios = group.flatMap(({ sample, durationMs }) => {
      const plainMs = plain.get(`${operation} ${condition} ${sample}`);
      return plainMs === undefined ? [] : [durationMs / plainMs];
    });
    const [times, sorted] = [sortSamples(group.map(({ durationMs }) => durationMs)), sortSamples(ratios)];
    if (times === undefined || sorted === undefined) return [];
    const { title, maxRatio } = boundOf(group[0]!);
    const facts = { operation, title, condition, backend };
    return [{ ...facts, n: times.length, medianMs: median(times), ratio: median(sorted), maxRatio }];
  });
  return lines.sort((left, right) => orderOf(left) - orderOf(right) || left.backend.localeCompare(right.backend));
}

export function limitsOf(summary: readonly MountSummary[]): Limit[] {
  return summary.flatMap(({ title, condition, backend, ratio, maxRatio }) =>
    maxRatio === undefined ? [] : [holdTo(`${condition} ${title}, ${backend}`, ratio, maxRatio, '×')],
  );
}

export function renderTable(lines: readonly MountSummary[], { headed }: { readonly headed: boolean }): string {
  const head = `${'what'.padEnd(42)}${'mount'.padEnd(10)}${'median ms'.padStart(10)}${'ratio'.padStart(8)}  at most`;
  const body = lines.map(({ title, condition, backend, medianMs, ratio, maxRatio }) => {
    const bound = maxRatio === undefined ? '' : maxRatio.toFixed(2).padStart(9);
    const what = `${condition.padEnd(7)}${title}`.padEnd(42);
    return `${what}${backend.padEnd(10)}${medianMs.toFixed(1).padStart(10)}${ratio.toFixed(2).padStart(8)}${bound}`;
  });
  return [...(headed ? [head] : []), ...body].join('\n');
}

function boundOf({ operation, condition, backend }: MountSample) {
  if (condition === 'demand') {
    return { title: demandOperation.title, maxRatio: backend === 'overlayfs' ? undefined : demandOperation.maxRatio };
  }
  const { title, maxRatios } = operations.find(({ name }) => name === operation)!;
  return { title, maxRatio: maxRatios[condition][backendKind(backend)] };
}

/** `fuse-1` is FUSE with other options, held to the same bound. */
function backendKind(backend: string): string {
  return backend.split('-')[0]!;
}

function orderOf({ condition, operation, backend }: MountSummary): number {
  const rank = operations.findIndex(({ name }) => name === operation);
  const kind = ['overlayfs', 'erofs', 'fuse'].indexOf(backendKind(backend));
  return ['warm', 'cold', 'demand'].indexOf(condition) * 100 + rank * 10 + kind;
}
