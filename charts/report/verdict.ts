import { escapeHtml } from './html.ts';

/** A piece of verdict.txt, whose lines say by their indent what they are. */
export type VerdictBlock =
  | { readonly kind: 'heading' | 'text'; readonly text: string }
  | { readonly kind: 'rows'; readonly rows: readonly (readonly string[])[] }
  | { readonly kind: 'code'; readonly lines: readonly string[] };

/** Headings begin a line, text is indented by 2, the rows of a table by 4, what is to be typed or copied by 5. */
export function parseVerdict(verdict: string): VerdictBlock[] {
  return verdict.split(/\n\s*\n/).flatMap((block): VerdictBlock[] => {
    const lines = block.split('\n');
    const isStep = /^ {2}\d+\. /.test(block);
    const indent = /^ */.exec(block)![0].length;
    if (indent === 0) return [{ kind: 'heading', text: joinLines(lines) }];
    if (indent === 5) return [{ kind: 'code', lines: lines.map((line) => line.slice(indent)) }];
    const isRow = (line: string) => !isStep && line.startsWith('    ');
    const [text, rows] = [lines.filter((line) => !isRow(line)), lines.filter(isRow)];
    return [
      { kind: 'text', text: joinLines(text) },
      ...(rows.length === 0 ? [] : [{ kind: 'rows', rows: rows.map((row) => row.trim().split(/ {2,}/)) } as const]),
    ];
  });
}

/** The first heading is the page's. */
export function verdictHtml(verdict: string): string {
  return parseVerdict(verdict)
    .map((block, index) => blockHtml(block, index === 0 ? 'h1' : 'h2'))
    .join('\n');
}

function blockHtml(block: VerdictBlock, heading: 'h1' | 'h2'): string {
  switch (block.kind) {
    case 'heading':
      return `<${heading}>${escapeHtml(block.text)}</${heading}>`;
    case 'text':
      return `<p>${escapeHtml(block.text)}</p>`;
    case 'rows':
      return `<table>${block.rows.map(rowHtml).join('')}</table>`;
    case 'code':
      return `<pre class="command"><code>${escapeHtml(block.lines.join('\n'))}</code></pre>`;
  }
}

function rowHtml([head = '', ...cells]: readonly string[]): string {
  const data = cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('');
  return `<tr><th scope="row">${escapeHtml(head)}</th>${data}</tr>`;
}

function joinLines(lines: readonly string[]): string {
  return lines.map((line) => line.trim()).join(' ');
}
