import { execa } from 'execa';
import { mountsUnder } from '../../snapshotter/platform/mountinfo.ts';
import { HarnessError, lastLines } from '../cli/error.ts';

/**
 * Unmounts everything on `directory` and below it, the newest first. A busy mount is detached, so that nothing new reaches
 * it and the kernel frees it with its last user.
 */
export async function unmountUnder(directory: string): Promise<void> {
  // A mount point may carry several mounts: each pass takes the top ones.
  for (let pass = 0; pass < 8; pass++) {
    const mounts = mountsUnder(directory);
    if (mounts.length === 0) return;
    for (const { path } of mounts.reverse()) {
      const plain = await execa('umount', [path], { reject: false, timeout: 10_000 });
      if (plain.failed) await execa('umount', ['--lazy', path], { reject: false, timeout: 10_000 });
    }
  }
  const left = mountsUnder(directory);
  if (left.length === 0) return;
  throw new HarnessError('cleanup', `cannot unmount ${lastLines(left.map((mount) => mount.path).join('\n'))}`, {
    remedy: 'find its users with fuser -vm, end them, and unmount it',
  });
}
