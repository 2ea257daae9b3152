import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { stringify } from 'csv-stringify/sync';

/** Any table as a file; the keys of the first record are its heading. */
export async function writeRecords(
  path: string,
  records: readonly Readonly<Record<string, string | number | undefined>>[],
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, stringify([...records], { header: true }));
}
