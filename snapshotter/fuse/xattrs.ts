import type { InodeTable } from '../tree/inode-table.ts';

/** The row of an inode's attribute named bytes[start, end), or -1. An inode has few: they are searched one by one. */
export function findXattr(table: InodeTable, inode: number, bytes: Uint8Array, start: number, end: number): number {
  const first = table.firstXattr[inode]!;
  const last = first + table.xattrLength[inode]!;
  for (let row = first; row < last; row++) {
    if (table.xattrNameLength[row] !== end - start) continue;
    const offset = table.xattrNameOffset[row]!;
    let i = 0;
    while (start + i < end && table.pool[offset + i] === bytes[start + i]) i++;
    if (start + i === end) return row;
  }
  return -1;
}

/** Bytes that `encodeXattrNames` writes: each name and its NUL. */
export function xattrNamesBytes(table: InodeTable, inode: number): number {
  const first = table.firstXattr[inode]!;
  const last = first + table.xattrLength[inode]!;
  let sizeBytes = 0;
  for (let row = first; row < last; row++) sizeBytes += table.xattrNameLength[row]! + 1;
  return sizeBytes;
}

export function encodeXattrNames(table: InodeTable, inode: number, to: Uint8Array, at: number): void {
  const first = table.firstXattr[inode]!;
  const last = first + table.xattrLength[inode]!;
  let next = at;
  for (let row = first; row < last; row++) {
    const offset = table.xattrNameOffset[row]!;
    const length = table.xattrNameLength[row]!;
    for (let i = 0; i < length; i++) to[next++] = table.pool[offset + i]!;
    to[next++] = 0;
  }
}
