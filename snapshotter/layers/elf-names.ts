import type { FileNames, ReadAt } from './file-names.ts';

const headerBytes = 64;
const programHeaderBytes = 56;
const dynamicEntryBytes = 16;
const pt = { load: 1, dynamic: 2, interp: 3 } as const;
const dt = { null: 0, needed: 1, strtab: 5 } as const;
/** Far above what occurs: bash has 13 program headers, and clang's dynamic section 40 entries. */
const maxProgramHeaders = 64;
const maxDynamicBytes = 64 * 1024;
const maxNames = 256;
const maxNameBytes = 256;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly sizeBytes: number;
}

/**
 * What ld.so opens before an ELF file's first instruction: PT_INTERP, the cache of library paths, and the DT_NEEDED entries
 * of the dynamic section (elf(5), ld.so(8)). ELF64 little-endian only.
 */
export function readElfNames(read: ReadAt): FileNames {
  const header = read(0, headerBytes);
  if (header === undefined) return { kind: 'wanting', offset: 0 };
  // 7f E L F, ELFCLASS64, ELFDATA2LSB
  if (header.length < headerBytes || header.readUInt32BE(0) !== 0x7f454c46 || header.readUInt16BE(4) !== 0x0201) {
    return { kind: 'none' };
  }
  const tableOffset = Number(header.readBigUInt64LE(32));
  const count = header.readUInt16LE(56);
  const isSane = header.readUInt16LE(54) === programHeaderBytes && count <= maxProgramHeaders && isOffset(tableOffset);
  if (!isSane) return { kind: 'none' };
  const table = read(tableOffset, count * programHeaderBytes);
  if (table === undefined) return { kind: 'wanting', offset: tableOffset };
  if (table.length < count * programHeaderBytes) return { kind: 'none' };
  const segments = Array.from({ length: count }, (_, at) => parseSegment(table, at * programHeaderBytes));
  const names: string[] = [];
  const interpreter = segments.find(({ type }) => type === pt.interp);
  if (interpreter !== undefined) {
    if (!isOffset(interpreter.offset)) return { kind: 'none' };
    const path = read(interpreter.offset, Math.min(interpreter.sizeBytes, maxNameBytes));
    if (path === undefined) return { kind: 'wanting', offset: interpreter.offset };
    names.push(...textOf(path), '/etc/ld.so.cache');
  }
  const dynamic = segments.find(({ type }) => type === pt.dynamic);
  if (dynamic === undefined) return { kind: 'libraries', names };
  if (!isOffset(dynamic.offset) || dynamic.sizeBytes > maxDynamicBytes) return { kind: 'none' };
  const entries = read(dynamic.offset, dynamic.sizeBytes);
  if (entries === undefined) return { kind: 'wanting', offset: dynamic.offset };
  const { needed, stringsAddress } = parseDynamic(entries);
  const strings = segments.find(
    ({ type, address, sizeBytes }) =>
      type === pt.load && stringsAddress >= address && stringsAddress < address + sizeBytes,
  );
  if (strings === undefined) return { kind: 'libraries', names };
  for (const at of needed.slice(0, maxNames)) {
    const offset = strings.offset + stringsAddress - strings.address + at;
    if (!isOffset(offset)) return { kind: 'none' };
    const text = read(offset, maxNameBytes);
    if (text === undefined) return { kind: 'wanting', offset };
    names.push(...textOf(text));
  }
  return { kind: 'libraries', names };
}

function parseSegment(table: Buffer, at: number): Segment {
  return {
    type: table.readUInt32LE(at),
    offset: Number(table.readBigUInt64LE(at + 8)),
    address: Number(table.readBigUInt64LE(at + 16)),
    sizeBytes: Number(table.readBigUInt64LE(at + 32)),
  };
}

function parseDynamic(entries: Buffer): { needed: number[]; stringsAddress: number } {
  const needed: number[] = [];
  let stringsAddress = -1;
  for (let at = 0; at + dynamicEntryBytes <= entries.length; at += dynamicEntryBytes) {
    const tag = Number(entries.readBigInt64LE(at));
    const value = Number(entries.readBigUInt64LE(at + 8));
    if (tag === dt.null) break;
    if (tag === dt.needed) needed.push(value);
    if (tag === dt.strtab) stringsAddress = value;
  }
  return { needed, stringsAddress };
}

/** What stands before the first NUL, if anything does. */
function textOf(bytes: Buffer): string[] {
  const end = bytes.indexOf(0);
  const text = bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
  return text === '' ? [] : [text];
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
