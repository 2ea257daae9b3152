import { DatabaseSync } from 'node:sqlite';
import { refLabel } from './record.ts';

/** Raise when the tables change, and add a step that brings an older file along. */
const schemaVersion = 1;

/**
 * Ids name directories, so they are never used twice (AUTOINCREMENT). A row keeps its id when it is committed under
 * another key, which is why children point at ids.
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

/** Opens or creates the snapshot database. Throws where the file is damaged or of a later version. */
export function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 5000 });
  try {
    // EXCLUSIVE: the file is also the lock that keeps a second daemon off this root.
    // WAL: a commit is one append. FULL: containerd believes a commit that was answered.
    database.exec(
      'PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT;',
    );
    const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number };
    if (version > schemaVersion) {
      throw new Error(
        `it has version ${version}, this daemon knows ${schemaVersion}: run the newer daemon, or another --root`,
      );
    }
    if (version === 0) database.exec(`BEGIN; ${schema} PRAGMA user_version = ${schemaVersion}; COMMIT;`);
    return database;
  } catch (error) {
    database.close();
    const message = (error as Error).message;
    const remedy = message.includes('locked')
      ? '; another daemon uses this root: stop it, or choose another --root'
      : '';
    throw new Error(`open the snapshot database ${path}: ${message}${remedy}`, { cause: error });
  }
}
