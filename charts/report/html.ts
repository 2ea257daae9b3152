/** Text as it may stand in HTML, within an element or a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Nested objects as nested lists, with their own keys. */
export function definitionList(record: Readonly<Record<string, unknown>>): string {
  const items = Object.entries(record).map(
    ([key, value]) => `<dt>${escapeHtml(key)}</dt><dd>${renderValue(value)}</dd>`,
  );
  return `<dl>${items.join('')}</dl>`;
}

function renderValue(value: unknown): string {
  if (Array.isArray(value)) {
    const plain = value.every((item) => typeof item !== 'object' || item === null);
    return plain ? escapeHtml(value.join(' ')) : value.map(renderValue).join('');
  }
  if (typeof value === 'object' && value !== null) return definitionList(value as Record<string, unknown>);
  return escapeHtml(String(value));
}
