import { writeFile } from 'node:fs/promises';
import { execa } from 'execa';

/** Writes what is dirty, then drops the page cache, dentries and inodes: what follows reads from the disk. */
export async function dropCaches(signal: AbortSignal): Promise<void> {
  await execa('sync', [], { timeout: 300_000, cancelSignal: signal });
  await writeFile('/proc/sys/vm/drop_caches', '3');
}
