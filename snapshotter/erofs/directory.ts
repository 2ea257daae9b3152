import type { InodeTable } from '../tree/inode-table.ts';
import { BLOCK_BYTES, DIRENT_BYTES, direntType, encodeDirent } from './ondisk.ts';

/**
 * A directory's entries as EROFS stores them: in byte order, `.` and `..` included, packed into blocks. Each block has
 * its fixed-size records first, then their names. The kernel bisects over blocks, then within one.
 */

const dot = 0x2e;
/** In place of a dirent row. */
const selfRow = -1;
const parentRow = -2;

export interface DirectorySize {
  readonly fullBlocks: number;
  /** Bytes of the last, partly filled block; at least those of `.` and `..`. */
  readonly tailBytes: number;
}

export function measureDirectory(table: InodeTable, inode: number): DirectorySize {
  let fullBlocks = 0;
  let used = 0;
  forEachEntry(table, inode, (row) => {
    const entryBytes = DIRENT_BYTES + nameLength(table, row);
    if (used + entryBytes > BLOCK_BYTES) {
      fullBlocks++;
      used = 0;
    }
    used += entryBytes;
  });
  return { fullBlocks, tailBytes: used };
}

/**
 * Writes the whole directory into `out`, zeroed, of the length that `measureDirectory` found (full blocks and tail).
 */
export function encodeDirectory(table: InodeTable, inode: number, nidOf: (inode: number) => number, out: Buffer): void {
  let block = 0;
  let used = 0;
  let rows: number[] = [];
  const flush = (): void => {
    let nameOffset = rows.length * DIRENT_BYTES;
    for (const [index, row] of rows.entries()) {
      const child = row === selfRow ? inode : row === parentRow ? table.parent[inode]! : table.direntInode[row]!;
      encodeDirent(out, block + index * DIRENT_BYTES, nidOf(child), nameOffset, direntType(table.mode[child]!));
      copyName(table, row, out, block + nameOffset);
      nameOffset += nameLength(table, row);
    }
  };
  forEachEntry(table, inode, (row) => {
    const entryBytes = DIRENT_BYTES + nameLength(table, row);
    if (used + entryBytes > BLOCK_BYTES) {
      flush();
      rows = [];
      used = 0;
      block += BLOCK_BYTES;
    }
    rows.push(row);
    used += entryBytes;
  });
  flush();
}

function forEachEntry(table: InodeTable, inode: number, visit: (row: number) => void): void {
  const first = table.firstDirent[inode]!;
  const last = first + table.direntLength[inode]!;
  let row = first;
  for (; row < last && isBeforeDots(table, row, 1); row++) visit(row);
  visit(selfRow);
  for (; row < last && isBeforeDots(table, row, 2); row++) visit(row);
  visit(parentRow);
  for (; row < last; row++) visit(row);
}

/** Whether a name sorts before a name of that many dots. */
function isBeforeDots(table: InodeTable, row: number, dots: number): boolean {
  const start = table.direntNameOffset[row]!;
  const length = table.direntNameLength[row]!;
  for (let at = 0; at < dots; at++) {
    if (at === length) return true;
    const byte = table.pool[start + at]!;
    if (byte !== dot) return byte < dot;
  }
  return false;
}

function nameLength(table: InodeTable, row: number): number {
  if (row === selfRow) return 1;
  return row === parentRow ? 2 : table.direntNameLength[row]!;
}

function copyName(table: InodeTable, row: number, out: Buffer, at: number): void {
  if (row < 0) {
    out.fill(dot, at, at + nameLength(table, row));
    return;
  }
  const start = table.direntNameOffset[row]!;
  const length = table.direntNameLength[row]!;
  for (let index = 0; index < length; index++) out[at + index] = table.pool[start + index]!;
}
