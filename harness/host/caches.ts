import { writeFile } from 'node:fs/promises';
import { execa } from 'execa';

/** Writes dirty pages back, then drops the page cache, dentries and inodes, so that the next reads come from the disk. */
export async function dropCaches(signal: AbortSignal): Promise<void> {
  await execa('sync', [], { timeout: 300_000, cancelSignal: signal });
  await writeFile('/proc/sys/vm/drop_caches', '3');
}
