import { formatRatio } from '../../../measurements/format.ts';
import { geometricMean } from '../../../measurements/stats/ratio.ts';
import { type Cell, type CellColumn, linkId } from '../cells.ts';
import type { State } from './state.ts';

/** Whether a cell is among those that were chosen. Several parts of names mean any of them. */
export function selects({ workload, category, mode, link }: Pick<State, 'workload' | 'category' | 'mode' | 'link'>) {
  const parts = workload
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((part) => part !== '');
  return (cell: Cell): boolean =>
    (parts.length === 0 || parts.some((part) => cell.group.workload.toLowerCase().includes(part))) &&
    (category.length === 0 || category.includes(cell.category)) &&
    (mode.length === 0 || mode.includes(cell.group.mode)) &&
    (link === '' || link === linkId(cell.at));
}

/** Cells without a value are last, whatever the order. */
export function sortCells(
  cells: readonly Cell[],
  column: CellColumn | undefined,
  descending: boolean,
): readonly Cell[] {
  if (column === undefined) return cells;
  return cells.toSorted((one, other) => {
    const [left, right] = [column.value(one), column.value(other)];
    if (left === undefined || right === undefined) return Number(left === undefined) - Number(right === undefined);
    const order = typeof left === 'number' ? left - Number(right) : left.localeCompare(String(right), 'en');
    return descending ? -order : order;
  });
}

/** `129 rows`, of which the page opens with the means; `12 of 129 rows; geometric mean of the speed-ups shown: estargz 4.3×, stargz 2.1×` */
export function describeSelection(shown: readonly Cell[], total: number): string {
  if (shown.length === total) return `${total} rows`;
  const rows = `${shown.length} of ${total} rows`;
  const byMode = Map.groupBy(
    shown.filter(({ group }) => group.speedUp !== undefined),
    ({ group }) => group.mode,
  );
  const means = [...byMode]
    .map(([mode, own]) => ({ mode, mean: geometricMean(own.map(({ group }) => group.speedUp!)) }))
    .sort((one, other) => other.mean - one.mean)
    .map(({ mode, mean }) => `${mode} ${formatRatio(mean)}`);
  return means.length === 0 ? rows : `${rows}; geometric mean of the speed-ups shown: ${means.join(', ')}`;
}
