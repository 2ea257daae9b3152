import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'csv-parse/sync';
import { execa } from 'execa';
import type { Columns } from './table.ts';
import { createTableFile } from './table-file.ts';

interface Reading {
  readonly order: number;
  readonly text: string;
}
const columns: Columns<Reading> = { order: 'integer', text: 'text' };

test('a full disk leaves whole rows and one clear error', { timeout: 30_000 }, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'stargz-bench-full-'));
  await execa('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', dir]);
  t.after(async () => {
    await execa('umount', [dir]);
    await rm(dir, { recursive: true });
  });
  const path = join(dir, 'samples.csv');
  const file = await createTableFile(path, columns);
  const row = (order: number) => ({ order, text: 'x'.repeat(100) });
  await file.append(row(1));
  await writeFile(join(dir, 'ballast'), Buffer.alloc(1 << 20)).catch(() => {});
  let written = 1;
  await assert.rejects(
    async () => {
      for (;;) {
        await file.append(row(written + 1));
        written++;
      }
    },
    { code: 'disk-full', message: /cannot append a row to .*samples\.csv \(ENOSPC\)/ },
  );
  await file.close();
  const rows = parse(await readFile(path, 'utf8'), { columns: true }) as Record<string, string>[];
  assert.equal(rows.length, written);
});
