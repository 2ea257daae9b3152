import { FormatError } from '../estargz/error.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { pathOf } from '../tree/lookup.ts';
import { alignUp, XATTR_ENTRY_BYTES, XATTR_HEADER_BYTES } from './ondisk.ts';

/**
 * Extended attributes. Behind an inode are a header, the ids of the attributes that it shares with others, and the rest
 * in full. A shared attribute's id is its offset in the shared area, in units of 4 bytes.
 */
export interface XattrPlan {
  /** The shared area, whole. */
  readonly shared: Buffer;
  /** Bytes behind the inode; 0 if it has none. */
  readonly bytesOf: (inode: number) => number;
  readonly encode: (inode: number, out: Buffer, at: number) => void;
}

/** Name prefixes that have an index; those of POSIX ACLs are whole names. */
const prefixes = [
  { text: 'user.', index: 1, isWhole: false },
  { text: 'system.posix_acl_access', index: 2, isWhole: true },
  { text: 'system.posix_acl_default', index: 3, isWhole: true },
  { text: 'trusted.', index: 4, isWhole: false },
  { text: 'security.', index: 6, isWhole: false },
].map((prefix) => ({ ...prefix, bytes: Buffer.from(prefix.text) }));
const valueLimitBytes = 0xffff;
const sharedCountLimit = 255;
/** i_xattr_icount has 16 bits and counts units of 4 bytes, of which the header is one. */
const ownLimitBytes = XATTR_HEADER_BYTES + 4 * (0xffff - 1);
const notShared = 0xffffffff;
const unknownPrefix = 0xff;

/**
 * Attributes that occur more than once are written once, in the shared area, and so are those that do not fit behind
 * their inode. Attributes outside the five namespaces are left out: Linux supports no others, so an unpacked layer has
 * none either.
 */
export function planXattrs(table: InodeTable): XattrPlan {
  const prefixOf = new Uint8Array(table.xattrCount);
  const sharedId = new Uint32Array(table.xattrCount).fill(notShared);
  for (let row = 0; row < table.xattrCount; row++) prefixOf[row] = findPrefix(table, row);
  const shared = planShared(table, prefixOf, sharedId);

  const forEachRow = (inode: number, visit: (row: number, isShared: boolean) => void): void => {
    const first = table.firstXattr[inode]!;
    let sharedCount = 0;
    for (let row = first; row < first + table.xattrLength[inode]!; row++) {
      if (prefixOf[row] === unknownPrefix) continue;
      visit(row, sharedId[row] !== notShared && ++sharedCount <= sharedCountLimit);
    }
  };
  const bytesOf = (inode: number): number => {
    let bytes = 0;
    if (table.xattrLength[inode] === 0) return 0;
    forEachRow(inode, (row, isShared) => {
      if (table.xattrValueLength[row]! > valueLimitBytes) {
        throw new FormatError('limit', 'an extended attribute of 65536 bytes, one more than EROFS holds', {
          entry: pathOf(table, inode),
        });
      }
      bytes += isShared ? 4 : entryBytes(table, prefixOf, row);
    });
    return bytes === 0 ? 0 : XATTR_HEADER_BYTES + bytes;
  };
  const encode = (inode: number, out: Buffer, start: number): void => {
    let sharedCount = 0;
    let at = start + XATTR_HEADER_BYTES;
    forEachRow(inode, (row, isShared) => {
      if (!isShared) return;
      sharedCount++;
      at = out.writeUInt32LE(sharedId[row]!, at);
    });
    out.writeUInt8(sharedCount, start + 4);
    forEachRow(inode, (row, isShared) => {
      if (!isShared) at = encodeEntry(table, prefixOf, row, out, at);
    });
  };
  return { shared, bytesOf, encode };
}

function findPrefix(table: InodeTable, row: number): number {
  const start = table.xattrNameOffset[row]!;
  const length = table.xattrNameLength[row]!;
  for (const [index, { bytes, isWhole }] of prefixes.entries()) {
    if (isWhole ? length !== bytes.length : length <= bytes.length) continue;
    let at = 0;
    while (at < bytes.length && table.pool[start + at] === bytes[at]) at++;
    if (at === bytes.length) return index;
  }
  return unknownPrefix;
}

/** Sets the ids of shared attributes, and encodes the shared area. */
function planShared(table: InodeTable, prefixOf: Uint8Array, sharedId: Uint32Array): Buffer {
  const sharedRows: number[] = [];
  let areaBytes = 0;
  const canBeWritten = (row: number): boolean =>
    prefixOf[row] !== unknownPrefix && table.xattrValueLength[row]! <= valueLimitBytes;
  const share = (row: number): void => {
    sharedId[row] = areaBytes / 4;
    sharedRows.push(row);
    areaBytes += entryBytes(table, prefixOf, row);
  };
  const firstRow = new Map<string, number>();
  for (let row = 0; row < table.xattrCount; row++) {
    if (!canBeWritten(row)) continue;
    const key = `${text(table, table.xattrNameOffset[row]!, table.xattrNameLength[row]!)}\0${text(table, table.xattrValueOffset[row]!, table.xattrValueLength[row]!)}`;
    const first = firstRow.get(key);
    if (first === undefined) {
      firstRow.set(key, row);
      continue;
    }
    if (sharedId[first] === notShared) share(first);
    sharedId[row] = sharedId[first]!;
  }
  for (let inode = 1; inode <= table.inodeCount; inode++) {
    let ownBytes = XATTR_HEADER_BYTES;
    const first = table.firstXattr[inode]!;
    for (let row = first; row < first + table.xattrLength[inode]!; row++) {
      if (!canBeWritten(row)) continue;
      const bytes = entryBytes(table, prefixOf, row);
      if (sharedId[row] === notShared && ownBytes + bytes > ownLimitBytes - 4 * sharedCountLimit) share(row);
      ownBytes += sharedId[row] === notShared ? bytes : 4;
    }
  }
  const area = Buffer.alloc(areaBytes);
  for (const row of sharedRows) encodeEntry(table, prefixOf, row, area, sharedId[row]! * 4);
  return area;
}

function text(table: InodeTable, offset: number, length: number): string {
  return Buffer.from(table.pool.buffer, table.pool.byteOffset + offset, length).toString('latin1');
}

function entryBytes(table: InodeTable, prefixOf: Uint8Array, row: number): number {
  const nameBytes = table.xattrNameLength[row]! - prefixes[prefixOf[row]!]!.bytes.length;
  return alignUp(XATTR_ENTRY_BYTES + nameBytes + table.xattrValueLength[row]!, 4);
}

/**
 * name_len u8, name_index u8, value_size LE16, name without its prefix, value, zeros up to 4 bytes; returns the end.
 */
function encodeEntry(table: InodeTable, prefixOf: Uint8Array, row: number, out: Buffer, start: number): number {
  const prefix = prefixes[prefixOf[row]!]!;
  const nameBytes = table.xattrNameLength[row]! - prefix.bytes.length;
  const valueBytes = table.xattrValueLength[row]!;
  out.writeUInt8(nameBytes, start);
  out.writeUInt8(prefix.index, start + 1);
  out.writeUInt16LE(valueBytes, start + 2);
  const nameStart = table.xattrNameOffset[row]! + prefix.bytes.length;
  const valueStart = table.xattrValueOffset[row]!;
  out.set(table.pool.subarray(nameStart, nameStart + nameBytes), start + XATTR_ENTRY_BYTES);
  out.set(table.pool.subarray(valueStart, valueStart + valueBytes), start + XATTR_ENTRY_BYTES + nameBytes);
  return start + entryBytes(table, prefixOf, row);
}
