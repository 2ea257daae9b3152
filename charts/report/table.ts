import type { Cell, CellColumn } from './cells.ts';
import { escapeHtml } from './html.ts';

/** The body of the table of results. The name of each workload opens what is behind its row. */
export function cellRows(cells: readonly Cell[], columns: readonly CellColumn[]): string {
  return cells
    .map((cell) => `<tr>${columns.map((column, index) => tableCell(cell, column, index === 0)).join('')}</tr>`)
    .join('\n');
}

export function headRow(columns: readonly CellColumn[], sort: string, descending: boolean): string {
  const heads = columns.map(({ key, title, kind }) => {
    const order = key !== sort ? '' : ` aria-sort="${descending ? 'descending' : 'ascending'}"`;
    return `<th scope="col" class="${kind}"${order}><button type="button" data-sort="${key}">${title}</button></th>`;
  });
  return `<tr>${heads.join('')}</tr>`;
}

function tableCell(cell: Cell, column: CellColumn, isFirst: boolean): string {
  const shown = escapeHtml(column.text(cell));
  if (isFirst) {
    const label = `${cell.group.workload}, ${cell.group.mode}, ${cell.at.name}: samples and conditions`;
    return `<th scope="row"><button type="button" data-cell="${escapeHtml(cell.id)}" aria-label="${escapeHtml(label)}">${shown}</button></th>`;
  }
  const verdict = column.key === 'verdict' ? ` verdict ${(cell.group.verdict ?? '').split(' ')[0]}` : '';
  const failed = column.key === 'n' && cell.group.failedCount > 0 ? ' failed' : '';
  return `<td class="${column.kind}${verdict}${failed}">${shown}</td>`;
}
