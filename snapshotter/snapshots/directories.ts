import { randomUUID } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Owner, Usage } from './record.ts';

/** The directories `<root>/snapshots/<id>/{fs,work}` of snapshots that are not lazy layers. */
export class SnapshotDirectories {
  readonly root: string;
  #reclaiming: Promise<string[]> | undefined;

  constructor(root: string) {
    this.root = root;
    mkdirSync(root, { recursive: true, mode: 0o700 });
  }

  upper(id: number): string {
    return join(this.root, String(id), 'fs');
  }

  work(id: number): string {
    return join(this.root, String(id), 'work');
  }

  /** Synchronous, to run inside the caller's transaction. Mode 0755 whatever the umask, as containerd's overlayfs has it. */
  create(id: number, withWork: boolean, owner: Owner | undefined): void {
    const directory = join(this.root, String(id));
    // Left by a crash between this call and the transaction's commit.
    if (existsSync(directory)) this.#setAside(String(id));
    mkdirSync(directory, { mode: 0o700 });
    const mask = process.umask(0);
    try {
      mkdirSync(this.upper(id), { mode: 0o755 });
      if (withWork) mkdirSync(this.work(id), { mode: 0o711 });
    } finally {
      process.umask(mask);
    }
    if (owner !== undefined && (owner.uid !== 0 || owner.gid !== 0)) chownSync(this.upper(id), owner.uid, owner.gid);
  }

  /**
   * Deletes every directory whose id is unknown. Concurrent calls run one after the other, since a snapshot may have been
   * removed after an earlier pass read the list. Returns the paths that could not be deleted.
   */
  async reclaim(isKnown: (id: number) => boolean): Promise<string[]> {
    const earlier = this.#reclaiming;
    const pass = (async () => {
      await earlier;
      return this.#reclaimOnce(isKnown);
    })();
    this.#reclaiming = pass;
    try {
      return await pass;
    } finally {
      if (this.#reclaiming === pass) this.#reclaiming = undefined;
    }
  }

  #setAside(name: string): string {
    const path = join(this.root, `removed-${name}-${randomUUID()}`);
    renameSync(join(this.root, name), path);
    return path;
  }

  /** A full disk may lack a block for the longer name. The id cannot be reused meanwhile: a new snapshot needs more blocks still. */
  #setAsideIfPossible(name: string): string {
    try {
      return this.#setAside(name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      return join(this.root, name);
    }
  }

  async #reclaimOnce(isKnown: (id: number) => boolean): Promise<string[]> {
    const failed: string[] = [];
    for (const name of readdirSync(this.root)) {
      if (/^\d+$/.test(name) && isKnown(Number(name))) continue;
      // An id whose transaction failed is reused, perhaps while its directory is being deleted: move that out of the way first.
      let path = join(this.root, name);
      try {
        if (/^\d+$/.test(name)) path = this.#setAsideIfPossible(name);
        await rm(path, { recursive: true, force: true, maxRetries: 2 });
      } catch {
        failed.push(path);
      }
    }
    return failed;
  }
}

/** Allocated bytes and inodes below a directory; hard links count once, other file systems are left out. */
export async function measureDirectory(path: string, signal?: AbortSignal): Promise<Usage> {
  const rootStat = await lstat(path);
  const seen = new Set<number>();
  let sizeBytes = 0;
  let inodes = 0;
  const pending = [path];
  const count = (stat: { ino: number; blocks: number; nlink: number }, isDirectory: boolean) => {
    if (!isDirectory && stat.nlink > 1) {
      if (seen.has(stat.ino)) return;
      seen.add(stat.ino);
    }
    inodes++;
    sizeBytes += stat.blocks * 512;
  };
  count(rootStat, true);
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    signal?.throwIfAborted();
    const entries = await readdir(directory, { withFileTypes: true });
    for (let start = 0; start < entries.length; start += 64) {
      await Promise.all(
        entries.slice(start, start + 64).map(async (entry) => {
          const entryPath = join(directory!, entry.name);
          const stat = await lstat(entryPath).catch(() => undefined);
          if (stat === undefined || stat.dev !== rootStat.dev) return;
          count(stat, stat.isDirectory());
          if (stat.isDirectory()) pending.push(entryPath);
        }),
      );
    }
  }
  return { sizeBytes, inodes };
}
