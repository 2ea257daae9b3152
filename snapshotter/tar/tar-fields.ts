/**
 * Fields of a tar header block and of a pax extended header (POSIX.1-2018 pax, "ustar Interchange Format" and "pax
 * Header Block"; GNU tar manual, "Extensions to the Tar Format"). Text is kept as Latin-1, one character per byte, so
 * that names that are not UTF-8 survive.
 */
import { TarError } from './error.ts';

export const blockSizeBytes = 512;

export function roundUpToBlock(sizeBytes: number): number {
  return Math.ceil(sizeBytes / blockSizeBytes) * blockSizeBytes;
}

/** Text up to the first NUL. */
export function readText(block: Buffer, offset: number, length: number): string {
  const end = block.indexOf(0, offset);
  return block.toString('latin1', offset, end < 0 || end > offset + length ? offset + length : end);
}

/**
 * Octal digits between NULs and spaces, or GNU base-256 (top bit set: big-endian two's complement). An empty field is 0.
 */
export function readInteger(block: Buffer, offset: number, length: number): bigint {
  const first = block[offset]!;
  if ((first & 0x80) !== 0) return readBase256(block, offset, length);
  const text = block.toString('latin1', offset, offset + length).replace(/^[ \0]+|[ \0]+$/g, '');
  if (text === '') return 0n;
  if (!/^[0-7]+$/.test(text)) throw malformed(`the number ${JSON.stringify(text)} in a header is not octal`);
  return BigInt(`0o${text}`);
}

/** As readInteger; throws beyond 2^53. */
export function readNumber(block: Buffer, offset: number, length: number): number {
  return toSafeNumber(readInteger(block, offset, length));
}

export function toSafeNumber(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw malformed('a number in a header is beyond 2^53');
  return number;
}

function readBase256(block: Buffer, offset: number, length: number): bigint {
  const negative = (block[offset]! & 0x40) !== 0;
  let value = negative ? -1n : 0n;
  for (let i = 0; i < length; i++) {
    const byte = i === 0 ? (block[offset]! & 0x7f) | (negative ? 0x80 : 0) : block[offset + i]!;
    value = (value << 8n) | BigInt(byte);
  }
  return value;
}

/** The checksum field counts as spaces. Some old writers summed signed bytes, so either sum is accepted. */
export function isChecksumRight(block: Buffer): boolean {
  let unsigned = 8 * 0x20;
  let signed = unsigned;
  for (let i = 0; i < blockSizeBytes; i++) {
    if (i >= 148 && i < 156) continue;
    const byte = block[i]!;
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  const stored = Number(readInteger(block, 148, 8));
  return stored === unsigned || stored === signed;
}

/**
 * Records `"<length> <key>=<value>\n"`, length in bytes and counting itself; a value may hold any byte. GNU's sparse
 * format 0.0 repeats two keys for each extent: they are joined into the map of format 0.1, as Go does.
 */
export function parsePaxRecords(payload: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  const sparseMap: string[] = [];
  let offset = 0;
  while (offset < payload.length && payload[offset] !== 0) {
    const space = payload.indexOf(0x20, offset);
    const length = space < 0 ? Number.NaN : Number(payload.toString('latin1', offset, space));
    const end = offset + length;
    if (!Number.isInteger(length) || end <= space + 1 || end > payload.length || payload[end - 1] !== 0x0a) {
      throw malformed('a pax record has a wrong length');
    }
    const equals = payload.indexOf(0x3d, space);
    if (equals <= space + 1 || equals >= end) throw malformed('a pax record has no key');
    const key = payload.toString('latin1', space + 1, equals);
    const value = payload.toString('latin1', equals + 1, end - 1);
    const sparseField = sparseFields.indexOf(key);
    if (sparseField < 0) records.set(key, value);
    else if (sparseField !== sparseMap.length % 2 || value.includes(',')) throw malformed('a sparse map out of order');
    else sparseMap.push(value);
    offset = end;
  }
  if (sparseMap.length > 0) records.set('GNU.sparse.map', sparseMap.join(','));
  return records;
}

const sparseFields: readonly string[] = ['GNU.sparse.offset', 'GNU.sparse.numbytes'];

export interface TarTime {
  readonly sec: number;
  readonly nsec: number;
}

/** Decimal seconds with an optional fraction, truncated to nanoseconds; `-1.5` is 1.5 s before the epoch. */
export function parsePaxTime(text: string): TarTime {
  const match = /^([+-]?)(\d+)(?:\.(\d*))?$/.exec(text);
  if (match === null) throw malformed(`the pax time ${JSON.stringify(text)} is not a decimal number`);
  const sec = Number(match[2]);
  const nsec = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  if (match[1] !== '-') return { sec, nsec };
  return nsec === 0 ? { sec: sec === 0 ? 0 : -sec, nsec: 0 } : { sec: -sec - 1, nsec: 1_000_000_000 - nsec };
}

export function parsePaxInteger(text: string): bigint {
  if (!/^[+-]?\d+$/.test(text)) throw malformed(`the pax number ${JSON.stringify(text)} is not decimal`);
  return BigInt(text.replace('+', ''));
}

export function malformed(what: string): TarError {
  return new TarError('malformed', what, `cannot read the tar: ${what}`);
}

export function unsupported(what: string): TarError {
  return new TarError('unsupported', what, `cannot read the tar: ${what}; write it with tar --format=posix`);
}
