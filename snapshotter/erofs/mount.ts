import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MS_NODEV, MS_RDONLY, mountFilesystem, type SyscallError, unmountFilesystem } from '../syscalls.ts';

export interface ImageMount {
  readonly imagePath: string;
  readonly path: string;
  /** The data file; undefined for a layer without content. */
  readonly device: string | undefined;
  readonly readaheadKib: number;
}

/** A directory for each EROFS superblock that lives, mounted or kept by an overlay, in any mount namespace. */
const superblocksPath = '/sys/fs/erofs';
const bdiPath = '/sys/class/bdi';

/** One at a time, so that what appears under /sys meanwhile is this mount's. */
let mounting: Promise<unknown> = Promise.resolve();

/**
 * Mounts an image by mount(2): mount(8) would put a loop device between, which reads the data file without asking. Resolves
 * to the names of the superblocks that appeared: this one, and perhaps those of other processes that mounted just then.
 */
export function mountImage(mount: ImageMount): Promise<readonly string[]> {
  const result = mounting.then(() => mountOne(mount));
  mounting = result.catch(() => {});
  return result;
}

async function mountOne({ imagePath, path, device, readaheadKib }: ImageMount): Promise<readonly string[]> {
  const before = new Set(listSuperblocks());
  await mountFilesystem(imagePath, path, 'erofs', MS_RDONLY | MS_NODEV, device === undefined ? '' : `device=${device}`);
  const appeared = listSuperblocks().filter((name) => !before.has(name));
  // Fewer and larger events. Where /sys cannot be written, 128 KiB stay.
  if (appeared.length === 1)
    await writeFile(join(bdiPath, appeared[0]!, 'read_ahead_kb'), String(readaheadKib)).catch(() => {});
  return appeared;
}

/** Unmounts; nothing mounted there is as good. Rejects with SyscallError EBUSY where files are open. */
export async function unmountImage(path: string, flags = 0): Promise<void> {
  await unmountFilesystem(path, flags).catch((error: SyscallError) => {
    if (error.code !== 'EINVAL' && error.code !== 'ENOENT') throw error;
  });
}

/** An overlay keeps the superblock of its lower layers alive when their mounts are gone. */
export function isSuperblockAlive(name: string): boolean {
  return existsSync(join(superblocksPath, name));
}

/** Paths of the EROFS mounts of this mount namespace. */
export function listErofsMounts(): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.flatMap((line) => {
    const fields = line.split(' ');
    return fields[fields.indexOf('-') + 1] === 'erofs' ? [fields[4]!] : [];
  });
}

export function isMounted(path: string): boolean {
  return listErofsMounts().includes(path);
}

function listSuperblocks(): string[] {
  return readdirSync(superblocksPath).filter((name) => name !== 'features');
}
