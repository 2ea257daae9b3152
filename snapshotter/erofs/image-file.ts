import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { InodeTable } from '../tree/inode-table.ts';
import { type Steps, takeTurns } from '../tree/steps.ts';
import { writeInSteps } from './image.ts';

/** To be incremented when the same table gives another image. */
const writerVersion = 3;
/** The superblock's uuid (erofs_fs.h; the superblock is at 1024). */
const uuidOffset = 1024 + 48;
const uuidBytes = 16;
const digestBytes = 32;
/** A millisecond's work. */
const hashedAtOnceBytes = 1 << 20;

/**
 * The layer's EROFS image in its store's directory, written unless it is there. Its uuid is a digest of the table and
 * the writer's version, and behind its last block is a digest of all before; an image with another uuid, or damaged on
 * disk, is replaced. The file appears atomically. Yields to the event loop.
 */
export async function writeImageFile(directory: string, table: InodeTable, view = ''): Promise<string> {
  const path = join(directory, imageFileName(view));
  const uuid = await takeTurns(fingerprint(table));
  if (await takeTurns(isIntact(path, uuid))) return path;
  const temporary = `${path}.new`;
  const fd = openSync(temporary, 'w+', 0o600);
  try {
    await takeTurns(writeInSteps(table, fd, { uuid }));
    const { size } = fstatSync(fd);
    writeSync(fd, await takeTurns(digestOf(fd, size)), 0, digestBytes, size);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  return path;
}

/** A layer's plain tree is the view without a name. */
export function imageFileName(view: string): string {
  return view === '' ? 'image.erofs' : `image-${view}.erofs`;
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

function* isIntact(path: string, uuid: Buffer): Steps<boolean> {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return false;
  }
  try {
    const endBytes = fstatSync(fd).size - digestBytes;
    const found = Buffer.alloc(uuidBytes + digestBytes);
    if (endBytes < 0 || readSync(fd, found, 0, uuidBytes, uuidOffset) !== uuidBytes) return false;
    if (!found.subarray(0, uuidBytes).equals(uuid)) return false;
    readSync(fd, found, uuidBytes, digestBytes, endBytes);
    return found.subarray(uuidBytes).equals(yield* digestOf(fd, endBytes));
  } finally {
    closeSync(fd);
  }
}

function* digestOf(fd: number, endBytes: number): Steps<Buffer> {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafe(Math.min(hashedAtOnceBytes, endBytes));
  for (let at = 0; at < endBytes; ) {
    const length = readSync(fd, piece, 0, Math.min(piece.length, endBytes - at), at);
    if (length === 0) break;
    hash.update(piece.subarray(0, length));
    at += length;
    yield;
  }
  return hash.digest();
}
