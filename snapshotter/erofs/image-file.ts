import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { InodeTable } from '../tree/inode-table.ts';
import { type Steps, takeTurns } from '../tree/steps.ts';
import { writeInSteps } from './image.ts';

/** Raised when the same table is to give another image. */
const writerVersion = 2;
export const imageFileName = 'image.erofs';
/** Of the superblock's uuid (erofs_fs.h: the superblock lies at 1024). */
const uuidOffset = 1024 + 48;
const uuidBytes = 16;
/** A millisecond's work. */
const hashedAtOnceBytes = 1 << 20;

/**
 * The layer's EROFS image in its store's directory, written unless it is there. It carries a digest of the table as its
 * uuid: one that another version wrote, or for a tree laid out otherwise, is replaced. Whole or absent.
 * Others have turns meanwhile.
 */
export async function writeImageFile(directory: string, table: InodeTable): Promise<string> {
  const path = join(directory, imageFileName);
  const uuid = await takeTurns(fingerprint(table));
  if (readUuid(path)?.equals(uuid)) return path;
  const temporary = `${path}.new`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    await takeTurns(writeInSteps(table, fd, { uuid }));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  return path;
}

function* fingerprint(table: InodeTable): Steps<Buffer> {
  const hash = createHash('sha256').update(`erofs ${writerVersion}\n`);
  const bytes = new Uint8Array(table.shared);
  for (let at = 0; at < bytes.length; at += hashedAtOnceBytes) {
    hash.update(bytes.subarray(at, at + hashedAtOnceBytes));
    yield;
  }
  return hash.digest().subarray(0, uuidBytes);
}

function readUuid(path: string): Buffer | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    const uuid = Buffer.alloc(uuidBytes);
    return readSync(fd, uuid, 0, uuidBytes, uuidOffset) === uuidBytes ? uuid : undefined;
  } finally {
    closeSync(fd);
  }
}
