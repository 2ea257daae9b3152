import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { execa } from 'execa';
import type { Mount } from '../../snapshotter/api/types/types.ts';
import { mountsUnder } from '../../snapshotter/platform/mountinfo.ts';
import { HarnessError, lastLines } from '../cli/error.ts';

/** Mounts what a snapshotter returned, as containerd would. */
export async function mountAt(mounts: readonly Mount[], target: string): Promise<void> {
  if (mounts.length === 0) throw new HarnessError('start', `the snapshotter returned no mounts for ${target}`);
  await mkdir(target, { recursive: true });
  for (const { type, source, options } of mounts) {
    const { cwd, options: shortened } = shortenLowers(options);
    const args = ['-t', type === 'bind' ? 'none' : type, '-o', shortened.join(','), source, target];
    await execa('mount', args, { cwd, timeout: 60_000 });
  }
}

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

/** mount(2) takes one page of options: lower directories are named relative to the directory that they share. */
function shortenLowers(options: readonly string[]): { cwd: string; options: string[] } {
  const lowers =
    options
      .find((option) => option.startsWith('lowerdir='))
      ?.slice('lowerdir='.length)
      .split(':') ?? [];
  if (lowers.length < 2) return { cwd: '/', options: [...options] };
  let cwd = dirname(lowers[0]!);
  while (!lowers.every((lower) => lower.startsWith(`${cwd}/`))) cwd = dirname(cwd);
  const relative = lowers.map((lower) => lower.slice(cwd === '/' ? 1 : cwd.length + 1)).join(':');
  return { cwd, options: options.map((option) => (option.startsWith('lowerdir=') ? `lowerdir=${relative}` : option)) };
}
