import type { ByteSlice } from '../estargz/toc.ts';

export interface Timestamp {
  sec: number;
  nsec: number;
}

/**
 * Parses `2006-01-02T15:04:05[.fraction](Z|±hh:mm)` into `result`; returns false if malformed. An empty slice is time 0, for
 * which the reference omits the field. Without a Date object per file, which would be most of a scan's garbage.
 */
export function parseTimestamp(slice: ByteSlice, result: Timestamp): boolean {
  result.sec = 0;
  result.nsec = 0;
  const { bytes, start, end } = slice;
  if (start === end) return true;
  if (end - start < 20) return false;
  const year = digits(bytes, start, 4);
  const month = digits(bytes, start + 5, 2);
  const day = digits(bytes, start + 8, 2);
  const hour = digits(bytes, start + 11, 2);
  const minute = digits(bytes, start + 14, 2);
  const second = digits(bytes, start + 17, 2);
  if (bytes[start + 4] !== 0x2d || bytes[start + 7] !== 0x2d || (bytes[start + 10]! | 0x20) !== 0x74) return false;
  if (bytes[start + 13] !== 0x3a || bytes[start + 16] !== 0x3a) return false;
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return false;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return false;
  let at = start + 19;
  if (bytes[at] === 0x2e) {
    const first = ++at;
    let scale = 100_000_000;
    for (; at < end && isDigit(bytes[at]!); at++) {
      result.nsec += (bytes[at]! - 0x30) * Math.floor(scale);
      scale /= 10;
    }
    if (at === first) return false;
  }
  const offsetSec = zoneOffset(bytes, at, end);
  if (Number.isNaN(offsetSec)) return false;
  result.sec = daysFromCivil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offsetSec;
  return true;
}

function zoneOffset(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return Number.NaN;
  if ((bytes[at]! | 0x20) === 0x7a) return at + 1 === end ? 0 : Number.NaN;
  const sign = bytes[at] === 0x2b ? 1 : bytes[at] === 0x2d ? -1 : Number.NaN;
  if (at + 6 !== end || bytes[at + 3] !== 0x3a) return Number.NaN;
  const hours = digits(bytes, at + 1, 2);
  const minutes = digits(bytes, at + 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return Number.NaN;
  return sign * (hours * 3600 + minutes * 60);
}

/** Negative if there is another character. */
function digits(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let index = at; index < at + count; index++) {
    if (!isDigit(bytes[index]!)) return -1;
    value = value * 10 + bytes[index]! - 0x30;
  }
  return value;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March, so that leap days come last. */
function daysFromCivil(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}
