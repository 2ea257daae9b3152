import { type FileHandle, mkdir, open, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import { HarnessError } from '../cli/error.ts';
import { type ColumnType, columns, type Row } from './row.ts';
import type { RowSink } from './run.ts';

export interface SampleFile extends RowSink {
  close(): Promise<void>;
}

/**
 * Creates samples.csv with its heading; it must not exist. Each row is one write and one fsync, and a write that fails
 * half-way (a full disk) is cut off again, so that the file holds whole rows only.
 */
export async function createSampleFile(path: string): Promise<SampleFile> {
  const file = await open(path, 'wx');
  let sizeBytes = 0;
  const append = async (line: string) => {
    sizeBytes = await appendWhole(file, path, Buffer.from(line), sizeBytes);
  };
  await append(stringify([columns.map((column) => column.name)]));
  return {
    append: (row) => append(stringifyRow(row)),
    close: () => file.close(),
  };
}

export function stringifyRow(row: Row): string {
  return stringify([columns.map((column) => formatCell(row[column.key], column.type))]);
}

/** Any table: the keys of the first record are the heading. */
export function stringifyRecords(records: readonly Readonly<Record<string, string | number | undefined>>[]): string {
  return stringify(
    records.map((record) =>
      Object.fromEntries(
        Object.entries(record).map(([key, value]) => [
          key,
          formatCell(value, typeof value === 'number' ? 'number' : 'text'),
        ]),
      ),
    ),
    { header: true },
  );
}

/** The same as a file, in directories that are made if they are missing. */
export async function writeRecords(path: string, records: Parameters<typeof stringifyRecords>[0]): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, stringifyRecords(records));
}

/** A missing value is an empty cell. Numbers have three decimals at most: a microsecond, which is below the noise. */
function formatCell(value: Row[keyof Row], type: ColumnType): string {
  if (value === undefined) return '';
  switch (type) {
    case 'integer':
      return String(Math.round(Number(value)));
    case 'number':
      return String(Math.round(Number(value) * 1000) / 1000);
    case 'boolean':
    case 'text':
      return String(value);
  }
}

async function appendWhole(file: FileHandle, path: string, bytes: Buffer, at: number): Promise<number> {
  try {
    let written = 0;
    while (written < bytes.length) {
      written += (await file.write(bytes, written, bytes.length - written, at + written)).bytesWritten;
    }
    await file.sync();
    return at + bytes.length;
  } catch (cause) {
    await file.truncate(at).catch(() => {});
    const { code } = cause as NodeJS.ErrnoException;
    throw new HarnessError(code === 'ENOSPC' ? 'disk-full' : 'start', `cannot append a row to ${path} (${code})`, {
      remedy: 'free some space or choose another place with --out DIR; the rows so far are whole',
      cause,
    });
  }
}
