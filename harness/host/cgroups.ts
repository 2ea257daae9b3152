import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { listMounts } from '../../snapshotter/platform/mountinfo.ts';

/**
 * Removes the control groups whose names start with `prefix`, directly below the root of each hierarchy. runc removes the
 * group of a container that it deletes; a container whose shim was killed leaves its group behind. Groups with processes
 * stay.
 */
export async function removeCgroups(prefix: string): Promise<void> {
  const roots = listMounts().filter(({ type }) => type === 'cgroup' || type === 'cgroup2');
  for (const root of roots) {
    const names = await readdir(root.path).catch(() => []);
    for (const name of names) if (name.startsWith(prefix)) await removeTree(join(root.path, name));
  }
}

/** rmdir(2) removes a control group with its files, once its inner groups are gone. */
async function removeTree(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(path, entry.name));
  await rmdir(path).catch(() => {});
}
