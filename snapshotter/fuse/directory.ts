import type { InodeTable } from '../tree/inode-table.ts';
import { ROOT_INODE, writeDirentName } from '../tree/lookup.ts';
import { encodeEntry, encodeRootEntry, entryOutBytes, forever, type Validity } from './attributes.ts';
import { rootSlot, setUint64 } from './wire.ts';

/**
 *     fuse_dirent:     ino u64 | off u64 | namelen u32 | type u32 | name, padded to 8
 *     fuse_direntplus: fuse_entry_out | fuse_dirent
 *
 * `off` is where the next READDIR continues: 1 after `.`, 2 after `..`, then 3 + index. The kernel caches the entries
 * of READDIRPLUS, except those with nodeid 0, as `.` and `..` must have.
 */
const direntHeadBytes = 24;
const DT_DIR = 4;

/** Writes entries of a directory from `offset` on into [at, end); returns where it stopped. `plus`: READDIRPLUS. */
export function encodeDirectory(
  view: DataView,
  bytes: Uint8Array,
  at: number,
  end: number,
  offset: number,
  plus: Validity | undefined,
  table: InodeTable,
  slot: number,
  inode: number,
): number {
  let next = encodeDots(view, at, end, offset, plus, slot, inode, slot, table.parent[inode]!);
  const first = table.firstDirent[inode]!;
  const length = table.direntLength[inode]!;
  const headBytes = (plus === undefined ? 0 : entryOutBytes) + direntHeadBytes;
  for (let index = Math.max(0, offset - 2); index < length; index++) {
    const row = first + index;
    const child = table.direntInode[row]!;
    const nameLength = table.direntNameLength[row]!;
    const padded = (headBytes + nameLength + 7) & ~7;
    if (next + padded > end) return next;
    if (plus !== undefined) encodeEntry(view, next, table, slot, child, plus);
    const head = next + headBytes - direntHeadBytes;
    encodeDirentHead(view, head, slot, child, index + 3, nameLength, table.mode[child]! >>> 12);
    const nameEnd = writeDirentName(table, row, bytes, head + direntHeadBytes);
    next += padded;
    for (let at = nameEnd; at < next; at++) bytes[at] = 0;
  }
  return next;
}

/**
 * The root's entries: `slots` in ascending order, since an offset must stay valid while layers are added and removed.
 */
export function encodeRootDirectory(
  view: DataView,
  bytes: Uint8Array,
  at: number,
  end: number,
  offset: number,
  plus: Validity | undefined,
  layers: Iterable<{ readonly slot: number; readonly table: InodeTable }>,
): number {
  let next = encodeDots(view, at, end, offset, plus, rootSlot, ROOT_INODE, rootSlot, ROOT_INODE);
  const headBytes = (plus === undefined ? 0 : entryOutBytes) + direntHeadBytes;
  for (const { slot, table } of layers) {
    if (slot + 2 <= offset) continue;
    const name = String(slot);
    const padded = (headBytes + name.length + 7) & ~7;
    if (next + padded > end) return next;
    if (plus !== undefined) encodeEntry(view, next, table, slot, ROOT_INODE, plus);
    const head = next + headBytes - direntHeadBytes;
    encodeDirentHead(view, head, slot, ROOT_INODE, slot + 2, name.length, DT_DIR);
    bytes.fill(0, head + direntHeadBytes, next + padded);
    for (let i = 0; i < name.length; i++) bytes[head + direntHeadBytes + i] = name.charCodeAt(i);
    next += padded;
  }
  return next;
}

function encodeDots(
  view: DataView,
  at: number,
  end: number,
  offset: number,
  plus: Validity | undefined,
  slot: number,
  inode: number,
  parentSlot: number,
  parentInode: number,
): number {
  const headBytes = (plus === undefined ? 0 : entryOutBytes) + direntHeadBytes;
  const padded = headBytes + 8;
  let next = at;
  for (let dot = offset; dot < 2; dot++) {
    if (next + padded > end) return next;
    if (plus !== undefined) {
      // nodeid must be 0; the other fields are not used.
      encodeRootEntry(view, next, 0, forever);
      setUint64(view, next, 0);
    }
    const head = next + headBytes - direntHeadBytes;
    if (dot === 0) encodeDirentHead(view, head, slot, inode, 1, 1, DT_DIR);
    else encodeDirentHead(view, head, parentSlot, parentInode, 2, 2, DT_DIR);
    setUint64(view, head + direntHeadBytes, dot === 0 ? 0x2e : 0x2e2e);
    next += padded;
  }
  return next;
}

function encodeDirentHead(
  view: DataView,
  at: number,
  slot: number,
  inode: number,
  nextOffset: number,
  nameLength: number,
  type: number,
): void {
  view.setUint32(at, inode, true);
  view.setUint32(at + 4, slot, true);
  setUint64(view, at + 8, nextOffset);
  view.setUint32(at + 16, nameLength, true);
  view.setUint32(at + 20, type, true);
}
