import type { RunChange } from '../../measurements/run-comparison.ts';
import { changeHeads, changeRow } from '../run/changes.ts';
import { escapeHtml } from './html.ts';

/** A row per change, as HTML. */
export function changesTable(changes: readonly RunChange[]): string {
  const heads = changeHeads.map((head) => cell('th scope="col"', head.replace('#', ''), head));
  const rows = changes.map((change) => {
    const word = (change.total?.verdict ?? 'failed').split(' ')[0];
    const cells = changeRow(change).map((text, index) => {
      const head = changeHeads[index]!;
      return cell('td', text, head, head === 'verdict' ? ` verdict ${word}` : '');
    });
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<div class="scroll" role="region" aria-label="Changes" tabindex="0"><table><thead><tr>${heads.join('')}</tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`;
}

function cell(tag: string, text: string, head: string, more = ''): string {
  const kind = head.startsWith('#') ? 'number' : 'text';
  return `<${tag} class="${kind}${more}">${escapeHtml(text)}</${tag.split(' ')[0]}>`;
}
