import { type FileHandle, open } from 'node:fs/promises';
import { MeasurementError } from './error.ts';
import { type Columns, stringifyHeading, stringifyRow } from './table.ts';

/** A table that grows while it is measured. */
export interface TableFile<T> {
  /** The row is durable when the promise resolves. */
  append(row: T): Promise<void>;
  close(): Promise<void>;
}

/**
 * Creates a CSV file with its heading; it must not exist. Each row is one write and one fsync. A write that fails
 * half-way (a full disk) is truncated away, so that the file holds whole rows only.
 */
export async function createTableFile<T extends object>(path: string, columns: Columns<T>): Promise<TableFile<T>> {
  const file = await open(path, 'wx');
  let sizeBytes = 0;
  const append = async (line: string) => {
    sizeBytes = await appendWhole(file, path, Buffer.from(line), sizeBytes);
  };
  await append(stringifyHeading(columns));
  return {
    append: (row) => append(stringifyRow(columns, row)),
    close: () => file.close(),
  };
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
    throw new MeasurementError(code === 'ENOSPC' ? 'disk-full' : 'write', `cannot append a row to ${path} (${code})`, {
      remedy: 'free some space or choose another place with --out DIR; the rows so far are whole',
      cause,
    });
  }
}
