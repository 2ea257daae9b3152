import { hash } from 'node:crypto';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { refLabel } from './record.ts';

/** Increment it when the tables change, and add a migration. */
const schemaVersion = 2;

/**
 * Ids name directories and are never reused (AUTOINCREMENT). A row keeps its id when it is committed under another key,
 * so children refer to ids.
 */
const schema = `
  CREATE TABLE snapshot (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE CHECK (key <> ''),
    parent INTEGER REFERENCES snapshot (id) ON DELETE RESTRICT,
    kind TEXT NOT NULL CHECK (kind IN ('view', 'active', 'committed')),
    labels TEXT NOT NULL,
    created_ms REAL NOT NULL,
    updated_ms REAL NOT NULL,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    inodes INTEGER NOT NULL DEFAULT 0,
    remote TEXT,
    ref TEXT GENERATED ALWAYS AS (json_extract(labels, '$."${refLabel}"')) VIRTUAL
  ) STRICT;
  CREATE INDEX snapshot_parent ON snapshot (parent);
  CREATE INDEX snapshot_ref ON snapshot (ref) WHERE ref IS NOT NULL;
`;

const summedColumns = [
  'id',
  'key',
  'parent',
  'kind',
  'labels',
  'created_ms',
  'updated_ms',
  'size_bytes',
  'inodes',
  'remote',
] as const;
const sumOf = (row: string): string => `row_sum(${summedColumns.map((name) => `${row}.${name}`).join(', ')})`;
const setSum = `UPDATE snapshot SET sum = ${sumOf('snapshot')}`;

/**
 * SQLite detects damage to its structure, not to values: a changed parent or digest would put other files into a container.
 * So each row has a checksum.
 */
const sums = `
  ALTER TABLE snapshot ADD COLUMN sum TEXT;
  ${setSum};
  CREATE TRIGGER snapshot_inserted AFTER INSERT ON snapshot BEGIN ${setSum} WHERE id = NEW.id; END;
  CREATE TRIGGER snapshot_updated AFTER UPDATE OF ${summedColumns.join(', ')} ON snapshot
    BEGIN ${setSum} WHERE id = NEW.id; END;
`;

/** Pages of 4 KiB: when the log is checkpointed, and how large it is made. */
const checkpointPages = 256;
const reservedBytes = 320 * 4096;

/** Opens or creates the snapshot database. Throws if the file is damaged or of a later version. */
export function openDatabase(path: string): DatabaseSync {
  rmSync(ballastOf(path), { force: true });
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 5000 });
  try {
    defineSum(database);
    // EXCLUSIVE: the file is also the lock against a second daemon on this root.
    // WAL: a commit is one append. FULL: containerd relies on a commit once it was acknowledged.
    database.exec(
      'PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; ' +
        `PRAGMA wal_autocheckpoint = ${checkpointPages}; BEGIN IMMEDIATE; COMMIT;`,
    );
    const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number };
    if (version > schemaVersion) {
      throw new Error(
        `it has version ${version}, this daemon knows ${schemaVersion}: run the newer daemon, or another --root`,
      );
    }
    if (version > 0) assertIntact(database);
    if (version < schemaVersion)
      database.exec(`BEGIN; ${version === 0 ? schema : ''} ${sums} PRAGMA user_version = ${schemaVersion}; COMMIT;`);
    assertSchema(database);
    assertSums(database);
    reserveSpace(database);
    return database;
  } catch (error) {
    database.close();
    throw new Error(`open the snapshot database ${path}: ${(error as Error).message}${remedyFor(error)}`, {
      cause: error,
    });
  }
}

/** Closes it and reserves the log's space for the next start, in case others fill the disk meanwhile. */
export function closeDatabase(database: DatabaseSync, path: string): void {
  if (!database.isOpen) return;
  database.close();
  try {
    const fd = openSync(ballastOf(path), 'w', 0o600);
    try {
      writeSync(fd, Buffer.alloc(reservedBytes));
    } finally {
      closeSync(fd);
    }
  } catch {
    // No room: the next start then has no reserve.
  }
}

function ballastOf(path: string): string {
  return `${path}-reserve`;
}

function assertIntact(database: DatabaseSync): void {
  const [first] = database.prepare('PRAGMA integrity_check(1)').all() as { integrity_check: string }[];
  if (first?.integrity_check !== 'ok') throw new DamageError(String(first?.integrity_check).replace(/\s+/g, ' '));
}

/** SQLite stores the schema as text, which integrity_check does not verify. */
function assertSchema(database: DatabaseSync): void {
  const pristine = new DatabaseSync(':memory:');
  try {
    defineSum(pristine);
    pristine.exec(schema + sums);
    if (JSON.stringify(readSchema(database)) !== JSON.stringify(readSchema(pristine)))
      throw new DamageError('its tables are not those of this version');
  } finally {
    pristine.close();
  }
}

function readSchema(database: DatabaseSync): unknown[] {
  return database
    .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name <> 'reserve' ORDER BY type, name")
    .all();
}

function defineSum(database: DatabaseSync): void {
  database.function('row_sum', { deterministic: true, varargs: true }, (...values) =>
    hash('sha256', JSON.stringify(values)).slice(0, 16),
  );
}

function assertSums(database: DatabaseSync): void {
  const damaged = database.prepare(`SELECT id FROM snapshot WHERE sum IS NOT ${sumOf('snapshot')} LIMIT 1`).get();
  if (damaged !== undefined) throw new DamageError(`the row of snapshot ${damaged.id} does not have its checksum`);
}

/**
 * Snapshots must be removable on a full disk. A DELETE changes pages in place but appends them to the log first, so the log
 * is grown beforehand. It keeps its size while the database is open; after each checkpoint it is overwritten from its start.
 */
function reserveSpace(database: DatabaseSync): void {
  try {
    database.exec('DROP TABLE IF EXISTS reserve; CREATE TABLE reserve (filler BLOB)');
    // Two transactions: pages allocated and freed in one are never written.
    database.exec(`INSERT INTO reserve VALUES (zeroblob(${reservedBytes}))`);
    database.exec('DROP TABLE reserve; PRAGMA wal_checkpoint(PASSIVE)');
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    if (database.isTransaction) database.exec('ROLLBACK');
  }
}

class DamageError extends Error {}

function remedyFor(error: unknown): string {
  const { message, errcode } = error as Error & { errcode?: number };
  if (message.includes('locked')) return '; another daemon uses this root: stop it, or choose another --root';
  // SQLITE_CORRUPT, SQLITE_NOTADB
  if (error instanceof DamageError || errcode === 11 || errcode === 26)
    return '; it is damaged: remove the images from containerd, delete the root directory, and pull them again';
  return isDiskFull(error) ? '; free space on its disk' : '';
}

/** SQLITE_FULL. */
function isDiskFull(error: unknown): boolean {
  return (error as { errcode?: number }).errcode === 13;
}
