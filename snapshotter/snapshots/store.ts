import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { LowerLayer } from '../layers/layer-request.ts';
import { closeDatabase, openDatabase } from './database.ts';
import { measureDirectory, SnapshotDirectories } from './directories.ts';
import { SnapshotError } from './error.ts';
import { type Filter, fixedValue, matchesAny, parseFilter } from './filter.ts';
import { planMounts } from './mounts.ts';
import {
  type Info,
  type Labels,
  type Mount,
  type Owner,
  type RemoteLayer,
  refLabel,
  type StackedLayer,
  type Usage,
} from './record.ts';
import { prepareStatements, type Row, type Statements, toInfo, toRemote, writeLabels } from './rows.ts';

export interface StoreOptions {
  /** Holds metadata.sqlite and snapshots/. Created if missing. */
  readonly root: string;
  /** Options of every overlay mount; see overlay-options.ts. */
  readonly overlayOptions?: readonly string[];
  /** The mount point of a view of a lazy layer; undefined if it is not mounted. */
  readonly layerPath?: (digest: string, view: string) => string | undefined;
  readonly nowMs?: () => number;
}

/**
 * The tree of snapshots: rows in SQLite, directories beside them. Every change is one synchronous transaction, so calls
 * never interleave; slow work (measuring, deleting) is done outside of transactions.
 */
export class SnapshotStore {
  readonly overlayOptions: readonly string[];
  readonly #database: DatabaseSync;
  readonly #databasePath: string;
  readonly #sql: Statements;
  readonly #directories: SnapshotDirectories;
  readonly #layerPath: (digest: string, view: string) => string | undefined;
  readonly #nowMs: () => number;

  constructor(options: StoreOptions) {
    mkdirSync(options.root, { recursive: true, mode: 0o700 });
    this.#databasePath = join(options.root, 'metadata.sqlite');
    this.#database = openDatabase(this.#databasePath);
    this.#sql = prepareStatements(this.#database);
    this.#directories = new SnapshotDirectories(join(options.root, 'snapshots'));
    this.overlayOptions = options.overlayOptions ?? [];
    this.#layerPath = options.layerPath ?? (() => undefined);
    this.#nowMs = options.nowMs ?? Date.now;
  }

  /** Creates a writable snapshot on `parent` ('' for none). */
  prepare(key: string, parent: string, labels: Labels): Mount[] {
    return this.#create('active', key, parent, labels);
  }

  /** Creates a read-only snapshot on `parent`. */
  view(key: string, parent: string, labels: Labels): Mount[] {
    return this.#create('view', key, parent, labels);
  }

  /** The mounts that prepare or view returned. */
  mounts(key: string): Mount[] {
    const row = this.#row(key);
    if (row.kind === 'committed') {
      throw new SnapshotError('failed-precondition', key, `mounts of ${key}: it is committed; prepare or view it`);
    }
    return this.#plan(row);
  }

  /**
   * Turns the active `key` into the committed `name`. Labels are replaced, not merged. A snapshot prepared without a parent
   * may get `parent` now: containerd unpacks an image's layers in parallel and chains them afterwards.
   */
  async commit(name: string, key: string, labels: Labels, parent = '', signal?: AbortSignal): Promise<void> {
    checkKey(name);
    const before = this.#row(key);
    this.#refuseTaken(name);
    requireActive(before, key);
    const usage = await measureDirectory(this.#directories.upper(before.id), signal);
    this.#transact(() => {
      const row = this.#row(key);
      requireActive(row, key);
      this.#refuseTaken(name);
      const parentId = parent === '' ? row.parentId : this.#parentAtCommit(row, parent);
      this.#sql.commit.run(name, writeLabels(labels), this.#nowMs(), usage.sizeBytes, usage.inodes, parentId, row.id);
    });
  }

  /**
   * Records a lazily mounted layer as a committed snapshot on `parent`. Returns false if there is one with this reference
   * and parent already. Its name is the reference, unless a snapshot on another parent has that name: containerd finds it by
   * label and parent, not by name.
   */
  commitRemote(ref: string, parent: string, labels: Labels, layer: RemoteLayer): boolean {
    return this.#transact(() => {
      const parentRow = parent === '' ? undefined : this.#committed(parent);
      if (this.findRemote(ref, parent) !== undefined) return false;
      const name = this.#sql.byKey.get(ref) === undefined ? ref : `${ref}@${parentRow?.id ?? 0}`;
      this.#refuseTaken(name);
      const stored = writeLabels({ ...labels, [refLabel]: ref });
      this.#insert('committed', name, parentRow, stored, JSON.stringify(layer));
      return true;
    });
  }

  /** The committed lazy snapshot with this reference on this parent. */
  findRemote(ref: string, parent: string): Info | undefined {
    const rows = this.#sql.byRef.all(ref) as unknown as Row[];
    const found = rows.find((row) => row.remote !== null && (row.parentKey ?? '') === parent);
    return found === undefined ? undefined : toInfo(found);
  }

  /** Removes a snapshot without children; its directory is left to `cleanup`. Returns its lazy layer, if it was one. */
  remove(key: string): RemoteLayer | undefined {
    return this.#transact(() => {
      const row = this.#row(key);
      const child = this.#sql.anyChild.get(row.id) as { key: string } | undefined;
      if (child !== undefined) {
        throw new SnapshotError('failed-precondition', key, `cannot remove ${key}: ${child.key} is on top of it`);
      }
      this.#sql.remove.run(row.id);
      return toRemote(row);
    });
  }

  stat(key: string): Info {
    return toInfo(this.#row(key));
  }

  /** Replaces all labels, or those named by the mask ("labels", "labels.<key>"). Nothing else can be updated. */
  update(name: string, labels: Labels, mask: readonly string[]): Info {
    return this.#transact(() => {
      const row = this.#row(name);
      const current: Record<string, string> = { ...toInfo(row).labels };
      let next: Labels = mask.length === 0 ? labels : current;
      for (const path of mask) {
        if (path === 'labels') next = labels;
        else if (path.startsWith('labels.')) {
          const key = path.slice('labels.'.length);
          next = { ...next, [key]: Object.hasOwn(labels, key) ? labels[key]! : '' };
        } else {
          throw new SnapshotError('invalid-argument', name, `update of ${name}: cannot change ${path}, only labels`);
        }
      }
      this.#sql.update.run(writeLabels(next), this.#nowMs(), row.id);
      return toInfo(this.#row(name));
    });
  }

  /** Snapshots that match any of the filters; without filters, all. */
  walk(filters: readonly string[]): Info[] {
    const parsed = filters.map(parseFilter);
    return this.#candidates(parsed)
      .map(toInfo)
      .filter((info) => matchesAny(parsed, info));
  }

  /** Active: measured now. Committed: as measured at commit. Lazy layers: zero, since the layer store owns their content. */
  async usage(key: string, signal?: AbortSignal): Promise<Usage> {
    const row = this.#row(key);
    if (row.kind === 'active') return measureDirectory(this.#directories.upper(row.id), signal);
    return { sizeBytes: row.sizeBytes, inodes: row.inodes };
  }

  /** Deletes the directories of removed snapshots and of crashes. Returns the paths that could not be deleted. */
  cleanup(): Promise<string[]> {
    return this.#directories.reclaim((id) => this.#sql.exists.get(id) !== undefined);
  }

  /** The lazy layer of every snapshot that has one; parents come first. */
  remoteLayers(): StackedLayer[] {
    return (this.#sql.remotes.all() as unknown as Row[]).flatMap(toStacked);
  }

  /** The lazy layers of a snapshot's chain, its own included, nearest first. */
  remoteChain(key: string): StackedLayer[] {
    if (key === '') return [];
    return this.#chain(this.#row(key).id).flatMap(toStacked);
  }

  /** The layers below a snapshot on `parent` ('' for none), nearest first. */
  layersBelow(parent: string): LowerLayer[] {
    if (parent === '') return [];
    return this.#chain(this.#row(parent).id).map((row) => {
      const remote = toRemote(row);
      if (remote === undefined) return { directory: this.#directories.upper(row.id) };
      return { digest: remote.digest, view: remote.view ?? '' };
    });
  }

  /** The snapshot's own lazy layer, if it has one. */
  remoteLayer(key: string): RemoteLayer | undefined {
    return toRemote(this.#row(key));
  }

  /** Throws as prepare would: parent missing or not committed, key taken. */
  checkCreate(key: string, parent: string): void {
    checkKey(key);
    if (parent !== '') this.#committed(parent);
    this.#refuseTaken(key);
  }

  close(): void {
    closeDatabase(this.#database, this.#databasePath);
  }

  #create(kind: 'active' | 'view', key: string, parent: string, labels: Labels): Mount[] {
    checkKey(key);
    return this.#transact(() => {
      const parentRow = parent === '' ? undefined : this.#committed(parent);
      this.#refuseTaken(key);
      const id = this.#insert(kind, key, parentRow, writeLabels(labels), null);
      this.#directories.create(id, kind === 'active', parentRow === undefined ? undefined : this.#rootOwner(parentRow));
      return this.#plan(this.#row(key));
    });
  }

  #insert(kind: Row['kind'], key: string, parent: Row | undefined, labels: string, remote: string | null): number {
    const nowMs = this.#nowMs();
    const inserted = this.#sql.insert.run(key, parent?.id ?? null, kind, labels, nowMs, nowMs, remote);
    return Number(inserted.lastInsertRowid);
  }

  /** The root of an unpacked layer belongs to root. A lazy layer's is not looked up: the daemon would wait for itself. */
  #rootOwner(parent: Row): Owner | undefined {
    if (toRemote(parent) !== undefined) return undefined;
    const { uid, gid } = statSync(this.#directories.upper(parent.id));
    return { uid, gid };
  }

  #plan(row: Row): Mount[] {
    const lowers = row.parentId === null ? [] : this.#chain(row.parentId).map((parent) => this.#content(parent));
    return planMounts({
      kind: row.kind,
      upper: this.#directories.upper(row.id),
      work: this.#directories.work(row.id),
      lowers,
      overlayOptions: this.overlayOptions,
    });
  }

  #content(row: Row): string {
    const remote = toRemote(row);
    if (remote === undefined) return this.#directories.upper(row.id);
    const path = this.#layerPath(remote.digest, remote.view ?? '');
    if (path === undefined) {
      throw new SnapshotError('unavailable', row.key, `${row.key}: its lazy layer ${remote.digest} is not mounted`);
    }
    return path;
  }

  /** The snapshot and its ancestors, nearest first. */
  #chain(id: number): Row[] {
    return this.#sql.chain.all(id) as unknown as Row[];
  }

  #candidates(filters: readonly Filter[]): Row[] {
    if (filters.length === 1) {
      const name = fixedValue(filters[0]!, ['name']);
      if (name !== undefined) return this.#sql.byKey.all(name) as unknown as Row[];
      const ref = fixedValue(filters[0]!, ['labels', refLabel]);
      if (ref !== undefined) return this.#sql.byRef.all(ref) as unknown as Row[];
    }
    return this.#sql.all.all() as unknown as Row[];
  }

  #row(key: string): Row {
    const row = this.#sql.byKey.get(key) as unknown as Row | undefined;
    if (row === undefined) throw new SnapshotError('not-found', key, `no snapshot ${key}`);
    return row;
  }

  #committed(key: string): Row {
    const row = this.#row(key);
    if (row.kind === 'committed') return row;
    throw new SnapshotError('invalid-argument', key, `parent ${key} is ${row.kind}; a parent must be committed`);
  }

  #parentAtCommit(row: Row, parent: string): number {
    if (row.parentKey === parent) return row.parentId!;
    if (row.parentKey !== null) {
      throw new SnapshotError(
        'invalid-argument',
        row.key,
        `cannot commit ${row.key} on ${parent}: it was prepared on ${row.parentKey}`,
      );
    }
    const parentRow = this.#row(parent);
    if (parentRow.kind === 'committed') return parentRow.id;
    throw new SnapshotError(
      'failed-precondition',
      row.key,
      `cannot commit ${row.key} on ${parent}: it is ${parentRow.kind}, not committed`,
    );
  }

  #refuseTaken(key: string): void {
    if (this.#sql.byKey.get(key) === undefined) return;
    throw new SnapshotError('already-exists', key, `snapshot ${key} exists already`);
  }

  #transact<Result>(change: () => Result): Result {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = change();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}

function toStacked(row: Row): StackedLayer[] {
  const remote = toRemote(row);
  return remote === undefined ? [] : [{ ...remote, parent: row.parentKey ?? '' }];
}

function requireActive(row: Row, key: string): void {
  if (row.kind === 'active') return;
  throw new SnapshotError('failed-precondition', key, `cannot commit ${key}: it is ${row.kind}, not active`);
}

function checkKey(key: string): void {
  if (key === '') throw new SnapshotError('invalid-argument', key, 'the key of the snapshot is empty');
  if (key.includes('\0')) throw new SnapshotError('invalid-argument', key, 'the key of the snapshot has a NUL in it');
}
