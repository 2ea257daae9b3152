import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Columns } from './table.ts';
import { createTableFile, reopenTableFile } from './table-file.ts';

const limit = { timeout: 30_000 };
const columns: Columns<{ readonly order: number; readonly text: string }> = { order: 'integer', text: 'text' };

async function writtenFile(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'stargz-bench-table-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'samples.csv');
  const file = await createTableFile(path, columns);
  await file.append({ order: 1, text: 'a, "b"' });
  await file.close();
  return path;
}

test('a table goes on where it ended, without part of a row', limit, async (t) => {
  const path = await writtenFile(t);
  await appendFile(path, '2,hal');
  const file = await reopenTableFile(path, columns);
  await file.append({ order: 2, text: 'whole' });
  await file.close();
  assert.equal(await readFile(path, 'utf8'), 'order,text\n1,"a, ""b"""\n2,whole\n');
});

test(
  'a table with other columns, an empty one and an absent one are refused and stay as they are',
  limit,
  async (t) => {
    const path = await writtenFile(t);
    const other = { ...columns, later: 'text' } as typeof columns;
    await assert.rejects(reopenTableFile(path, other), {
      code: 'bad-csv',
      message: /samples\.csv: it has other columns$/,
    });
    assert.equal(await readFile(path, 'utf8'), 'order,text\n1,"a, ""b"""\n');
    await truncate(path, 0);
    await assert.rejects(reopenTableFile(path, columns), { code: 'bad-csv' });
    await writeFile(path, 'order,te');
    await assert.rejects(reopenTableFile(path, columns), { code: 'bad-csv' });
    await rm(path);
    await assert.rejects(reopenTableFile(path, columns), { code: 'missing-file', message: /ENOENT/ });
  },
);
