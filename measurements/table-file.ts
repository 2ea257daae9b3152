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
 * half-way (a full disk) is truncated away, so that the file holds whole rows only, also after SIGKILL.
 */
export async function createTableFile<T extends object>(path: string, columns: Columns<T>): Promise<TableFile<T>> {
  const file = await open(path, 'wx');
  return appendTo(file, path, columns, await appendWhole(file, path, Buffer.from(stringifyHeading(columns)), 0));
}

/**
 * Opens a CSV file to append to it. What follows the last line end is cut off: a power failure can leave part of a row. Throws
 * MeasurementError where the file is absent or its heading is another.
 */
export async function reopenTableFile<T extends object>(path: string, columns: Columns<T>): Promise<TableFile<T>> {
  const file = await open(path, 'r+').catch((cause: NodeJS.ErrnoException) => {
    throw new MeasurementError('missing-file', `cannot append to ${path} (${cause.code})`, { cause });
  });
  try {
    const bytes = await file.readFile();
    const sizeBytes = bytes.lastIndexOf(0x0a) + 1;
    if (bytes.subarray(0, bytes.indexOf(0x0a) + 1).toString() !== stringifyHeading(columns)) {
      throw new MeasurementError('bad-csv', `cannot append to ${path}: it has other columns`, {
        remedy: 'use the version of stargz-bench that wrote it',
      });
    }
    await file.truncate(sizeBytes);
    return appendTo(file, path, columns, sizeBytes);
  } catch (error) {
    await file.close();
    throw error;
  }
}

function appendTo<T extends object>(
  file: FileHandle,
  path: string,
  columns: Columns<T>,
  startBytes: number,
): TableFile<T> {
  let sizeBytes = startBytes;
  return {
    append: async (row) => {
      sizeBytes = await appendWhole(file, path, Buffer.from(stringifyRow(columns, row)), sizeBytes);
    },
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
