import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { SnapshotError } from './error.ts';
import type { Info, Kind, Labels, RemoteLayer } from './record.ts';

/** A snapshot's row, joined with its parent's key. */
export interface Row {
  readonly id: number;
  readonly key: string;
  readonly parentId: number | null;
  readonly parentKey: string | null;
  readonly kind: Kind;
  readonly labels: string;
  readonly createdMs: number;
  readonly updatedMs: number;
  readonly sizeBytes: number;
  readonly inodes: number;
  readonly remote: string | null;
}

const columns = `
  s.id, s.key, s.parent AS parentId, p.key AS parentKey, s.kind, s.labels, s.created_ms AS createdMs,
  s.updated_ms AS updatedMs, s.size_bytes AS sizeBytes, s.inodes, s.remote`;
const joined = 'snapshot s LEFT JOIN snapshot p ON p.id = s.parent';

const texts = {
  byKey: `SELECT ${columns} FROM ${joined} WHERE s.key = ?`,
  byRef: `SELECT ${columns} FROM ${joined} WHERE s.ref = ?`,
  all: `SELECT ${columns} FROM ${joined} ORDER BY s.key`,
  remotes: `SELECT ${columns} FROM ${joined} WHERE s.remote IS NOT NULL ORDER BY s.id`,
  chain: `
    WITH RECURSIVE chain (id, depth) AS (
      VALUES (?, 0) UNION ALL
      SELECT snapshot.parent, depth + 1 FROM snapshot JOIN chain USING (id) WHERE snapshot.parent IS NOT NULL
    )
    SELECT ${columns} FROM chain JOIN snapshot s ON s.id = chain.id LEFT JOIN snapshot p ON p.id = s.parent ORDER BY chain.depth`,
  anyChild: 'SELECT key FROM snapshot WHERE parent = ? LIMIT 1',
  exists: 'SELECT 1 FROM snapshot WHERE id = ?',
  insert: `
    INSERT INTO snapshot (key, parent, kind, labels, created_ms, updated_ms, remote) VALUES (?, ?, ?, ?, ?, ?, ?)`,
  commit: `
    UPDATE snapshot SET key = ?1, kind = 'committed', labels = ?2, created_ms = ?3, updated_ms = ?3,
      size_bytes = ?4, inodes = ?5, parent = ?6 WHERE id = ?7`,
  update: 'UPDATE snapshot SET labels = ?, updated_ms = ? WHERE id = ?',
  remove: 'DELETE FROM snapshot WHERE id = ?',
} as const;

export type Statements = Readonly<Record<keyof typeof texts, StatementSync>>;

export function prepareStatements(database: DatabaseSync): Statements {
  const entries = Object.entries(texts).map(([name, text]) => [name, database.prepare(text)]);
  return Object.fromEntries(entries) as Statements;
}

export function toInfo(row: Row): Info {
  return {
    name: row.key,
    parent: row.parentKey ?? '',
    kind: row.kind,
    labels: JSON.parse(row.labels) as Labels,
    createdMs: row.createdMs,
    updatedMs: row.updatedMs,
  };
}

export function toRemote(row: Row): RemoteLayer | undefined {
  return row.remote === null ? undefined : (JSON.parse(row.remote) as RemoteLayer);
}

const maxLabelBytes = 4096;

/** containerd's rules: labels with empty values are dropped; key and value together have at most 4096 bytes. */
export function writeLabels(labels: Labels): string {
  const kept = Object.entries(labels).filter(([, value]) => value !== '');
  for (const [key, value] of kept) {
    if (Buffer.byteLength(key) + Buffer.byteLength(value) <= maxLabelBytes) continue;
    throw new SnapshotError(
      'invalid-argument',
      key,
      `label ${key.slice(0, 64)}: key and value are longer than ${maxLabelBytes} bytes`,
    );
  }
  return JSON.stringify(Object.fromEntries(kept));
}
