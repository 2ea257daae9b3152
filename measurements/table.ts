import { readFile } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { MeasurementError } from './error.ts';

/**
 * Tables of results: one record type, one CSV file. A column's heading is its key in snake case, so the key carries the
 * unit for both: `pullMs` is `pull_ms`.
 *
 * Files outlive the code that wrote them. A reader ignores columns that it does not know, and a column that is absent reads
 * as empty, so columns can be added freely. A column whose meaning changes gets a new name.
 */
export type Columns<T> = { readonly [K in keyof T]-?: ColumnType<Exclude<T[K], undefined>> };

type ColumnType<V> = V extends number ? NumberType : V extends boolean ? 'boolean' : 'text';
/** `number` keeps three decimals, `significant` four digits, as a probability needs. */
type NumberType = 'integer' | 'number' | 'significant';
type Cell = string | number | boolean | undefined;

/** CSV with a heading. An undefined value is an empty cell. */
export function stringifyTable<T extends object>(columns: Columns<T>, rows: readonly T[]): string {
  return stringifyHeading(columns) + rows.map((row) => stringifyRow(columns, row)).join('');
}

export function stringifyHeading<T extends object>(columns: Columns<T>): string {
  return stringify([Object.keys(columns).map(columnName)]);
}

export function stringifyRow<T extends object>(columns: Columns<T>, row: T): string {
  return stringify([Object.entries(columns).map(([key, type]) => formatCell(row[key as keyof T] as Cell, type))]);
}

/** The heading of a key: `daemonRssPeakKib` -> `daemon_rss_peak_kib`. */
export function columnName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export const damagedTable = 'restore the file as it was written, or run the program again';

export interface ReadOptions<T> {
  /** Named in errors. */
  readonly path: string;
  /** Columns that must be there and filled in every row. All others read as undefined where they are absent or empty. */
  readonly required: readonly (keyof T & string)[];
}

/** Reads a CSV file by column name. Throws MeasurementError. */
export async function readTable<T extends object>(
  columns: Columns<T>,
  { path, required }: ReadOptions<T>,
): Promise<T[]> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new MeasurementError('missing-file', `cannot read ${path} (${cause.code})`, {
      remedy: 'give the directory of a run',
      cause,
    });
  });
  return parseTable(columns, text, { path, required });
}

export function parseTable<T extends object>(
  columns: Columns<T>,
  text: string,
  { path, required }: ReadOptions<T>,
): T[] {
  let records: Record<string, string>[];
  try {
    records = parse(text, { columns: true, bom: true }) as Record<string, string>[];
  } catch (cause) {
    throw new MeasurementError('bad-csv', `${path} is not a table of results: ${(cause as Error).message}`, {
      remedy: damagedTable,
      cause,
    });
  }
  const [first] = records;
  if (first === undefined) {
    throw new MeasurementError('no-samples', `${path} has no rows`, { remedy: 'run the program again' });
  }
  const missing = required.map(columnName).filter((name) => !(name in first));
  if (missing.length > 0) {
    throw new MeasurementError('bad-csv', `${path} lacks the column ${missing.join(', ')}`, { remedy: damagedTable });
  }
  return records.map((record, index) => {
    const place = `${path}, line ${index + 2}`;
    const cells = Object.entries(columns).map(([key, type]) => {
      const name = columnName(key);
      const cell = parseCell(record[name] ?? '', type as string, `${place}: ${name}`);
      if (cell === undefined && required.includes(key as keyof T & string)) {
        throw new MeasurementError('bad-csv', `${place}: ${name} is empty`, { remedy: damagedTable });
      }
      return [key, cell];
    });
    return Object.fromEntries(cells) as T;
  });
}

/** At most three decimals: of a millisecond that is a microsecond, which is below the noise. */
function formatCell(value: Cell, type: unknown): string {
  if (value === undefined) return '';
  switch (type) {
    case 'integer':
      return String(Math.round(Number(value)));
    case 'number':
      return String(Math.round(Number(value) * 1000) / 1000);
    case 'significant':
      return String(Number(Number(value).toPrecision(4)));
    default:
      return String(value);
  }
}

function parseCell(text: string, type: string, place: string): Cell {
  if (text === '') return undefined;
  switch (type) {
    case 'integer':
    case 'number':
    case 'significant': {
      const value = Number(text);
      if (!Number.isFinite(value)) {
        throw new MeasurementError('bad-csv', `${place} is not a number: ${text}`, { remedy: damagedTable });
      }
      return value;
    }
    case 'boolean':
      return text === 'true';
    default:
      return text;
  }
}
