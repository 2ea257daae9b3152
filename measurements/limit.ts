import type { Columns } from './table.ts';

/** A bound that a benchmark holds its result to. A row of limits.csv. */
export interface Limit {
  /** What was measured, of what: `pull of layers-40, estargz`. */
  readonly name: string;
  readonly value: number;
  /** The largest value allowed. */
  readonly bound: number;
  /** Of both: `ms`, `MB`, `requests`, or `×` for a ratio. */
  readonly unit: string;
  readonly met: boolean;
}

export const limitColumns: Columns<Limit> = {
  name: 'text',
  value: 'number',
  bound: 'number',
  unit: 'text',
  met: 'boolean',
};

export function holdTo(name: string, value: number, bound: number, unit: string): Limit {
  return { name, value, bound, unit, met: value <= bound };
}

/** One line a limit: `met     pull of layers-40, estargz: 734 ms, at most 760 ms` */
export function renderLimits(limits: readonly Limit[]): string {
  return limits
    .map(({ name, value, bound, unit, met }) => {
      const amount = (number: number) =>
        unit === '×' ? `${formatAmount(number)}×` : `${formatAmount(number)} ${unit}`;
      return `${met ? 'met   ' : 'MISSED'}  ${name}: ${amount(value)}, at most ${amount(bound)}\n`;
    })
    .join('');
}

function formatAmount(value: number): string {
  return String(value < 100 ? Math.round(value * 100) / 100 : Math.round(value));
}
