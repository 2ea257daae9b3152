import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { listMounts } from '../../snapshotter/platform/mountinfo.ts';

/**
 * Removes the control groups directly below the roots of all hierarchies whose names start with `prefix`. runc removes
 * those of containers that it deletes; a container whose shim was killed leaves its own. Groups with processes stay.
 */
export async function removeCgroups(prefix: string): Promise<void> {
  const roots = listMounts().filter(({ type }) => type === 'cgroup' || type === 'cgroup2');
  for (const root of roots) {
    const names = await readdir(root.path).catch(() => []);
    for (const name of names) if (name.startsWith(prefix)) await removeTree(join(root.path, name));
  }
}

/** The files in a control group cannot be removed and need not be: only its directories count, the inner ones first. */
async function removeTree(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(path, entry.name));
  await rmdir(path).catch(() => {});
}
