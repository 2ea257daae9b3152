import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { SnapshotStore } from './store.ts';

const limit = { timeout: 20_000 };

function makeRoot(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'snapshot-database-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

async function makeSnapshots(root: string): Promise<void> {
  const store = new SnapshotStore({ root });
  store.prepare('a', '', { one: '1' });
  await store.commit('A', 'a', {});
  store.prepare('b', 'A', {});
  await store.commit('B', 'b', {});
  store.close();
}

test('a value that changed on disk is detected at start, and the error names the remedy', limit, async (t) => {
  const changes = [
    'UPDATE snapshot SET parent = NULL WHERE id = 2',
    "UPDATE snapshot SET key = 'C' WHERE id = 1",
    'UPDATE snapshot SET remote = \'{"digest":"sha256:00"}\' WHERE id = 1',
    "UPDATE snapshot SET sum = 'x' WHERE id = 1",
  ];
  for (const change of changes) {
    const root = makeRoot(t);
    await makeSnapshots(root);
    const database = new DatabaseSync(join(root, 'metadata.sqlite'));
    // As damage does: past the trigger that keeps the sums.
    const { sql } = database.prepare("SELECT sql FROM sqlite_schema WHERE name = 'snapshot_updated'").get()!;
    database.exec(`DROP TRIGGER snapshot_updated; ${change}; ${sql}`);
    database.close();
    assert.throws(() => new SnapshotStore({ root }), /checksum; it is damaged: .* pull them again/, change);
  }
});

test('no damaged byte of the database yields a different tree of snapshots', limit, async (t) => {
  const root = makeRoot(t);
  await makeSnapshots(root);
  const path = join(root, 'metadata.sqlite');
  const pristine = readFileSync(path);
  const store = new SnapshotStore({ root });
  const expected = store.walk([]);
  store.close();
  let refused = 0;
  // What the reserve left behind is zeros with a link.
  const isUsed = (at: number): boolean => {
    const page = pristine.subarray(at - (at % 4096), at - (at % 4096) + 4096);
    return page.filter((byte) => byte !== 0).length > 8;
  };
  for (let at = 0; at < pristine.length; at += 397) {
    if (!isUsed(at)) continue;
    const damaged = Buffer.from(pristine);
    damaged[at]! ^= 0x11;
    writeFileSync(path, damaged);
    rmSync(`${path}-wal`, { force: true });
    let opened: SnapshotStore | undefined;
    try {
      opened = new SnapshotStore({ root });
      assert.deepEqual(opened.walk([]), expected, `byte ${at}`);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      refused++;
    } finally {
      opened?.close();
    }
  }
  assert.ok(refused > 0);
});

test('a database of version 1 is migrated', limit, async (t) => {
  const root = makeRoot(t);
  await makeSnapshots(root);
  const database = new DatabaseSync(join(root, 'metadata.sqlite'));
  database.exec(
    'DROP TRIGGER snapshot_inserted; DROP TRIGGER snapshot_updated; ALTER TABLE snapshot DROP COLUMN sum; PRAGMA user_version = 1',
  );
  database.close();
  const store = new SnapshotStore({ root });
  t.after(() => store.close());
  assert.deepEqual(
    store.walk([]).map(({ name, parent }) => [name, parent]),
    [
      ['A', ''],
      ['B', 'A'],
    ],
  );
  store.prepare('c', 'B', {});
});

test('a file that is not a database is refused, and the error names the remedy', limit, (t) => {
  const root = makeRoot(t);
  const fd = openSync(join(root, 'metadata.sqlite'), 'w');
  writeSync(fd, Buffer.alloc(8192, 7));
  closeSync(fd);
  assert.throws(() => new SnapshotStore({ root }), /delete the root directory/);
});
