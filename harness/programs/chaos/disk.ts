import { createWriteStream, rmSync } from 'node:fs';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { execa } from 'execa';

/** A small ext4 in a file, so that it can be filled: tmpfs raises no pre-content events. */
export interface SmallDisk {
  readonly path: string;
  fill(): Promise<void>;
  free(): void;
  unmount(): Promise<void>;
}

const sizeBytes = 192 * 2 ** 20;

export async function mountSmallDisk(directory: string): Promise<SmallDisk> {
  const path = join(directory, 'disk');
  const file = join(directory, 'disk.img');
  const filler = join(path, 'filler');
  await mkdir(path, { recursive: true });
  await writeFile(file, '');
  await truncate(file, sizeBytes);
  await execa('mkfs.ext4', ['-q', '-F', '-m', '0', file]);
  await execa('mount', ['-o', 'loop', file, path]);
  return {
    path,
    fill: () => pipeline(zeros(), createWriteStream(filler)).catch(ignoreFull),
    free: () => rmSync(filler, { force: true }),
    async unmount() {
      await execa('umount', [path]);
    },
  };
}

function* zeros(): Generator<Buffer> {
  const block = Buffer.alloc(1 << 20);
  for (;;) yield block;
}

function ignoreFull(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOSPC') throw error;
}
