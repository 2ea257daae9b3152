import { execFile } from 'node:child_process';
import { mkdirSync, rmdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import type { Mount } from '../snapshotter/api/types/types.ts';
import { mountsUnder } from '../snapshotter/platform/mountinfo.ts';

const run = promisify(execFile);

/** Mounts what a snapshotter returned, as containerd would. */
export async function mountAt(mounts: readonly Mount[], target: string): Promise<void> {
  if (mounts.length === 0) throw new Error('the snapshotter returned no mounts');
  mkdirSync(target, { recursive: true });
  for (const { type, source, options } of mounts) {
    const { cwd, options: shortened } = shortenLowers(options);
    await run('mount', ['-t', type === 'bind' ? 'none' : type, '-o', shortened.join(','), source, target], { cwd });
  }
}

export async function unmount(target: string): Promise<void> {
  await run('umount', [target]);
}

/** Mounts, does, unmounts whatever happens. */
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

/** mount(2) takes a page of options: many lowers are named relative to the directory that most of them share. */
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
