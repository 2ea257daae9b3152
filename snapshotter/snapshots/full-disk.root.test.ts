import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  rmdirSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SnapshotStore } from './store.ts';

const limit = { timeout: 60_000 };
const snapshots = 40;

/** A small disk of its own, as ext4 on a loop device or as tmpfs. */
function makeDisk(t: TestContext, type: 'ext4' | 'tmpfs'): string {
  const path = mkdtempSync(join(tmpdir(), 'full-disk-'));
  const image = `${path}.img`;
  if (type === 'tmpfs') execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'snapshots', path]);
  else {
    writeFileSync(image, '');
    truncateSync(image, 12 * 1024 * 1024);
    execFileSync('mkfs.ext4', ['-q', '-m', '0', '-O', '^has_journal', image]);
    execFileSync('mount', ['-o', 'loop', image, path]);
  }
  t.after(() => {
    execFileSync('umount', ['--lazy', path]);
    rmdirSync(path);
    rmSync(image, { force: true });
  });
  return path;
}

/** To the last byte, and every block of it, as a log that nobody rotates would. */
function fill(disk: string): void {
  const fd = openSync(join(disk, 'somebody-elses'), 'a');
  try {
    for (let sizeBytes = 1024 * 1024; sizeBytes >= 1; sizeBytes = Math.floor(sizeBytes / 2)) {
      try {
        for (;;) writeSync(fd, Buffer.alloc(sizeBytes, 1));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
    }
  } finally {
    closeSync(fd);
  }
}

function makeSnapshots(store: SnapshotStore): void {
  for (let at = 0; at < snapshots; at++) store.prepare(`key-${at}`, '', { label: 'x'.repeat(3000) });
}

async function removeAll(store: SnapshotStore, root: string): Promise<void> {
  for (const { name } of store.walk([])) store.remove(name);
  assert.deepEqual(await store.cleanup(), []);
  assert.deepEqual(readdirSync(join(root, 'snapshots')), []);
}

for (const type of ['ext4', 'tmpfs'] as const) {
  test(`snapshots are removed from a full ${type}`, limit, async (t) => {
    const disk = makeDisk(t, type);
    const root = join(disk, 'root');
    const store = new SnapshotStore({ root });
    t.after(() => store.close());
    makeSnapshots(store);
    fill(disk);
    // A directory takes no page of a tmpfs.
    if (type === 'ext4') assert.throws(() => store.prepare('one-more', '', {}));
    await removeAll(store, root);
  });

  test(`a daemon started on a full ${type} removes snapshots`, limit, async (t) => {
    const disk = makeDisk(t, type);
    const root = join(disk, 'root');
    const before = new SnapshotStore({ root });
    makeSnapshots(before);
    before.close();
    fill(disk);
    const store = new SnapshotStore({ root });
    t.after(() => store.close());
    await removeAll(store, root);
  });

  test(`a daemon whose predecessor was killed on a full ${type} removes snapshots`, limit, async (t) => {
    const disk = makeDisk(t, type);
    const root = join(disk, 'root');
    const program = join(import.meta.dirname, 'testing/killed-store.ts');
    const { signal } = spawnSync(process.execPath, [program, root, String(snapshots)]);
    assert.equal(signal, 'SIGKILL');
    fill(disk);
    const store = new SnapshotStore({ root });
    t.after(() => store.close());
    assert.equal(store.walk([]).length, snapshots);
    await removeAll(store, root);
  });
}
