import { execFile } from 'node:child_process';
import { rmdirSync } from 'node:fs';
import { promisify } from 'node:util';
import { mountAt } from '../harness/host/mounts.ts';
import type { Mount } from '../snapshotter/api/types/types.ts';
import { mountsUnder } from '../snapshotter/platform/mountinfo.ts';

const run = promisify(execFile);

export async function unmount(target: string): Promise<void> {
  await run('umount', [target]);
}

/** Mounts, runs `work`, and unmounts even if it fails. */
export async function whileMounted<T>(
  mounts: readonly Mount[],
  target: string,
  work: (root: string) => Promise<T> | T,
) {
  await mountAt(mounts, target);
  try {
    return await work(target);
  } finally {
    await unmount(target);
    rmdirSync(target);
  }
}

/** The paths of the mounts on a directory and below it. */
export function mountPoints(directory: string): string[] {
  return mountsUnder(directory).map(({ path }) => path);
}
