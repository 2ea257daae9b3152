import type { MicroResult } from './measure.ts';

/** The tasks of one file. 80 columns, unless a name is longer. */
export function renderMicroTable(path: string, results: readonly MicroResult[]): string {
  if (results.length === 0) return '';
  const width = Math.max(36, ...results.map((result) => result.task.length));
  const head = `${path.padEnd(width)}${'median'.padStart(11)}${'p99'.padStart(11)}${'per second'.padStart(14)}${'±'.padStart(7)}`;
  const lines = results.map((result) => {
    if (result.error !== undefined) return `${result.task.padEnd(width)}  failed: ${result.error}`;
    return (
      result.task.padEnd(width) +
      formatMicroseconds(result.medianUs).padStart(11) +
      formatMicroseconds(result.p99Us).padStart(11) +
      Math.round(result.perSecond ?? 0)
        .toLocaleString('en')
        .padStart(14) +
      `${(result.marginPercent ?? 0).toFixed(1)}%`.padStart(7)
    );
  });
  return `${[head, ...lines].join('\n')}\n\n`;
}

function formatMicroseconds(us: number | undefined): string {
  if (us === undefined) return '';
  if (us < 1) return `${(us * 1000).toFixed(0)} ns`;
  if (us < 1000) return `${us.toFixed(us < 10 ? 2 : 1)} µs`;
  return `${(us / 1000).toFixed(2)} ms`;
}
