import { spawnSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MS_RDONLY, mountFilesystem, unmountFilesystem } from '../../platform/syscalls.ts';
import type { InodeTable } from '../../tree/inode-table.ts';
import { writeErofsImage } from '../image.ts';
import { BLOCK_BYTES } from '../ondisk.ts';

export interface ImageFiles {
  readonly directory: string;
  readonly imagePath: string;
  readonly dataPath: string;
  readonly sizeBytes: number;
}

/** A table's image in a directory of its own, beside a data file that is one hole. */
export function makeImage(table: InodeTable, uuid?: Uint8Array): ImageFiles {
  const directory = mkdtempSync(join(tmpdir(), 'erofs-image-'));
  const imagePath = join(directory, 'image');
  const dataPath = join(directory, 'data');
  const image = openSync(imagePath, 'w');
  const data = openSync(dataPath, 'w');
  try {
    const sizeBytes = writeErofsImage(table, image, uuid === undefined ? {} : { uuid });
    ftruncateSync(data, table.dataSizeBytes);
    return { directory, imagePath, dataPath, sizeBytes };
  } finally {
    closeSync(image);
    closeSync(data);
  }
}

export function removeImage(files: ImageFiles): void {
  rmSync(files.directory, { recursive: true, force: true });
}

/**
 * Throws with the tool's output unless it accepts the image. Version 1.5 exits with 0 in any case. It also reads 12 bytes behind
 * each inode without attributes, and complains if the image ends there: so a block of zeros follows the image meanwhile.
 */
export function runFsck(table: InodeTable, files: ImageFiles): void {
  truncateSync(files.imagePath, files.sizeBytes + BLOCK_BYTES);
  const { stdout, stderr } = runTool('fsck.erofs', ['-d3', ...deviceOption(table, files), files.imagePath]);
  truncateSync(files.imagePath, files.sizeBytes);
  const words = stdout + stderr;
  if (!words.includes('No errors found') || words.includes('<E>')) throw new Error(`fsck.erofs: ${words}`);
}

/** What dump.erofs prints of the superblock, by label. */
export function dumpSuperblock(table: InodeTable, files: ImageFiles): Map<string, string> {
  const { stdout } = runTool('dump.erofs', ['-s', ...deviceOption(table, files), files.imagePath]);
  return new Map(
    stdout.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
}

function deviceOption(table: InodeTable, files: ImageFiles): string[] {
  return table.dataSizeBytes > 0 ? [`--device=${files.dataPath}`] : [];
}

function runTool(name: string, args: readonly string[]): { stdout: string; stderr: string } {
  return spawnSync(name, args, { encoding: 'utf8', timeout: 30_000 });
}

/** Runs `use` on the mounted image, after writing `contents` and applying `damage`; always unmounts and removes. */
export async function withMountedImage(
  table: InodeTable,
  contents: ReadonlyMap<number, Uint8Array>,
  use: (root: string, files: ImageFiles) => void | Promise<void>,
  damage?: (image: Buffer) => void,
): Promise<void> {
  const files = makeImage(table);
  const root = join(files.directory, 'mnt');
  let isMounted = false;
  try {
    const data = openSync(files.dataPath, 'r+');
    for (const [offset, bytes] of contents) writeSync(data, bytes, 0, bytes.length, offset);
    closeSync(data);
    if (damage !== undefined) {
      const image = readFileSync(files.imagePath);
      damage(image);
      writeFileSync(files.imagePath, image);
    }
    mkdirSync(root);
    const options = table.dataSizeBytes > 0 ? `device=${files.dataPath}` : '';
    await mountFilesystem(files.imagePath, root, 'erofs', MS_RDONLY, options);
    isMounted = true;
    await use(root, files);
  } finally {
    if (isMounted) await unmountFilesystem(root);
    removeImage(files);
  }
}
