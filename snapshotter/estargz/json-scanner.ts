import { FormatError } from './error.ts';

/** A stream of JSON. `read` writes to into[at, into.length) and returns the count of bytes written, 0 at the end. */
export interface ByteSource {
  read(into: Uint8Array, at: number): number;
}

/** bytes[start, end); valid until the visitor returns. */
export interface ByteSlice {
  bytes: Uint8Array;
  start: number;
  end: number;
}

const windowBytes = 256 << 10;
const windowLimitBytes = 16 << 20;
const depthLimit = 64;
const quote = 0x22;
const backslash = 0x5c;

/** Thrown when the window ends inside a value: `whole` reads more and parses the value again. */
const starved = new Error('the window is used up');

/**
 * A forward-only JSON reader over a window of bytes. It builds no objects: strings are slices of the window, or
 * of a side buffer if they have escapes, and unwanted values are skipped.
 */
export class JsonScanner {
  #bytes: Uint8Array;
  #at = 0;
  #end: number;
  /** Offset of the window in the JSON. */
  #passed = 0;
  readonly #source: ByteSource | undefined;
  #sourceEnded: boolean;
  /** Decoded strings. Existing slices keep referring to the old buffer when a larger one replaces it. */
  #decoded = new Uint8Array(4096);
  #decodedEnd = 0;

  constructor(input: Uint8Array | ByteSource) {
    if (input instanceof Uint8Array) {
      this.#bytes = input;
      this.#end = input.length;
      this.#sourceEnded = true;
    } else {
      this.#bytes = new Uint8Array(windowBytes);
      this.#end = 0;
      this.#source = input;
      this.#sourceEnded = false;
    }
  }

  /** Runs `parse`, and again from its start after each refill of the window. Slices stay valid until the next call. */
  whole<T>(parse: () => T): T {
    this.#decodedEnd = 0;
    for (;;) {
      const start = this.#at;
      try {
        return parse();
      } catch (error) {
        if (error !== starved) throw error;
        this.#refill(start);
        this.#decodedEnd = 0;
      }
    }
  }

  #refill(start: number): void {
    if (this.#sourceEnded) {
      this.#at = this.#end;
      throw this.error('ends in the middle of a value');
    }
    const kept = this.#end - start;
    let target = this.#bytes;
    if (kept > target.length / 2) {
      if (kept >= windowLimitBytes) {
        throw new FormatError(
          'limit',
          `TOC: a single value of more than ${windowLimitBytes} bytes at byte ${this.#passed + start}`,
        );
      }
      target = new Uint8Array(target.length * 2);
    }
    target.set(this.#bytes.subarray(start, this.#end), 0);
    this.#bytes = target;
    this.#passed += start;
    this.#at = 0;
    this.#end = kept;
    const count = this.#source!.read(target, kept);
    this.#end += count;
    if (count === 0) this.#sourceEnded = true;
  }

  /** Offset of the next byte in the JSON. */
  get position(): number {
    return this.#passed + this.#at;
  }

  error(problem: string): FormatError {
    return new FormatError('json', `TOC JSON: byte ${this.position}: ${problem}`);
  }

  /** The next byte that is not white space, without consuming it. */
  peek(): number {
    const bytes = this.#bytes;
    let at = this.#at;
    while (at < this.#end) {
      const byte = bytes[at]!;
      if (byte > 0x20) {
        this.#at = at;
        return byte;
      }
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) {
        this.#at = at;
        throw this.error('a control character');
      }
      at++;
    }
    this.#at = at;
    throw starved;
  }

  /** Whether only white space is left. */
  isAtEnd(): boolean {
    return this.whole(() => {
      try {
        this.peek();
        return false;
      } catch (error) {
        if (error === starved && this.#sourceEnded) return true;
        throw error;
      }
    });
  }

  expect(byte: number): void {
    if (this.peek() !== byte) throw this.error(`expected ${String.fromCharCode(byte)}`);
    this.#at++;
  }

  /** Consumes `byte` if it comes next. */
  accept(byte: number): boolean {
    if (this.peek() !== byte) return false;
    this.#at++;
    return true;
  }

  acceptNull(): boolean {
    if (this.peek() !== 0x6e) return false;
    this.#literal('null');
    return true;
  }

  string(slice: ByteSlice): void {
    this.expect(quote);
    const bytes = this.#bytes;
    const end = this.#end;
    const start = this.#at;
    for (let at = start; at < end; at++) {
      const byte = bytes[at]!;
      if (byte === quote) {
        slice.bytes = bytes;
        slice.start = start;
        slice.end = at;
        this.#at = at + 1;
        return;
      }
      if (byte === backslash) {
        this.#decodeString(slice, start);
        return;
      }
      if (byte < 0x20) {
        this.#at = at;
        throw this.error('a control character in a string');
      }
    }
    throw starved;
  }

  /** Reads a number without fraction or exponent, up to 2^53 - 1 in magnitude. */
  integer(): number {
    const negative = this.accept(0x2d);
    const bytes = this.#bytes;
    const start = this.#at;
    let at = start;
    let value = 0;
    for (; at < this.#end; at++) {
      const digit = bytes[at]! - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at === this.#end) throw starved;
    this.#at = at;
    const next = bytes[at]!;
    if (at === start) throw this.error('expected a number');
    if (next === 0x2e || next === 0x65 || next === 0x45) throw this.error('expected a whole number');
    if (bytes[start] === 0x30 && at > start + 1) throw this.error('a number with a leading zero');
    if (!Number.isSafeInteger(value)) throw this.error('a number beyond 2^53');
    return negative ? -value : value;
  }

  /** Skips a value of any type, checking its syntax. */
  skip(): void {
    const slice: ByteSlice = { bytes: this.#bytes, start: 0, end: 0 };
    // Per level of nesting: true for an object, false for an array.
    const open: boolean[] = [];
    for (;;) {
      const byte = this.peek();
      if (byte === 0x7b || byte === 0x5b) {
        if (open.length === depthLimit) throw this.error(`nested more than ${depthLimit} deep`);
        this.#at++;
        const isObject = byte === 0x7b;
        if (!this.accept(isObject ? 0x7d : 0x5d)) {
          open.push(isObject);
          if (isObject) this.#key(slice);
          continue;
        }
      } else this.#scalar(byte, slice);
      for (;;) {
        const isObject = open.at(-1);
        if (isObject === undefined) return;
        if (this.accept(0x2c)) {
          if (isObject) this.#key(slice);
          break;
        }
        this.expect(isObject ? 0x7d : 0x5d);
        open.pop();
      }
    }
  }

  #key(slice: ByteSlice): void {
    this.string(slice);
    this.expect(0x3a);
  }

  #scalar(byte: number, slice: ByteSlice): void {
    if (byte === quote) this.string(slice);
    else if (byte === 0x74) this.#literal('true');
    else if (byte === 0x66) this.#literal('false');
    else if (byte === 0x6e) this.#literal('null');
    else this.#number();
  }

  /** Checks the syntax of a number without converting it. */
  #number(): void {
    let at = this.#at;
    if (this.#bytes[at] === 0x2d) at++;
    at = this.#bytes[at] === 0x30 ? at + 1 : this.#digits(at);
    if (this.#bytes[at] === 0x2e) at = this.#digits(at + 1);
    if ((this.#bytes[at]! | 0x20) === 0x65) {
      const sign = this.#bytes[at + 1];
      at = this.#digits(sign === 0x2b || sign === 0x2d ? at + 2 : at + 1);
    }
    // The number may continue past the window. At the end of the JSON it cannot be complete: a brace has to follow.
    if (at >= this.#end) throw starved;
    this.#at = at;
  }

  /** Returns the end of a run of at least one digit. */
  #digits(start: number): number {
    let at = start;
    while (at < this.#end && this.#bytes[at]! >= 0x30 && this.#bytes[at]! <= 0x39) at++;
    if (at >= this.#end) throw starved;
    if (at === start) throw this.error('expected a value');
    return at;
  }

  #literal(text: string): void {
    if (this.#at + text.length > this.#end) throw starved;
    for (let index = 0; index < text.length; index++) {
      if (this.#bytes[this.#at + index] !== text.charCodeAt(index)) throw this.error(`expected ${text}`);
    }
    this.#at += text.length;
  }

  /** Decodes a string with escapes to UTF-8 in the side buffer. `start` is the first byte after the quote. */
  #decodeString(slice: ByteSlice, start: number): void {
    const bytes = this.#bytes;
    let end = start;
    for (; end < this.#end && bytes[end] !== quote; end++) if (bytes[end] === backslash) end++;
    if (end >= this.#end) throw starved;
    this.#reserve(end - start);
    const out = this.#decoded;
    let written = this.#decodedEnd;
    slice.bytes = out;
    slice.start = written;
    for (let at = start; at < end; at++) {
      const byte = bytes[at]!;
      if (byte !== backslash) {
        this.#at = at;
        if (byte < 0x20) throw this.error('a control character in a string');
        out[written++] = byte;
        continue;
      }
      at++;
      const escaped = bytes[at]!;
      if (escaped !== 0x75) {
        const plain = simpleEscape(escaped);
        this.#at = at;
        if (plain < 0) throw this.error('an unknown escape');
        out[written++] = plain;
        continue;
      }
      let unit = this.#hexUnit(at + 1, end);
      at += 4;
      if (unit >= 0xd800 && unit < 0xdc00 && bytes[at + 1] === backslash && bytes[at + 2] === 0x75 && at + 6 < end) {
        const low = this.#hexUnit(at + 3, end);
        if (low >= 0xdc00 && low < 0xe000) {
          unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
          at += 6;
        }
      }
      written = encodeUtf8(out, written, unit);
    }
    this.#decodedEnd = written;
    slice.end = written;
    this.#at = end + 1;
  }

  #hexUnit(at: number, end: number): number {
    this.#at = at;
    if (at + 4 > end) throw this.error('a \\u escape without four digits');
    let unit = 0;
    for (let index = 0; index < 4; index++) {
      const digit = hexValue(this.#bytes[at + index]!);
      if (digit < 0) throw this.error('a \\u escape without four digits');
      unit = unit * 16 + digit;
    }
    return unit;
  }

  /** Decoding never lengthens a string: a \u escape has six bytes and becomes at most three. */
  #reserve(count: number): void {
    if (this.#decodedEnd + count <= this.#decoded.length) return;
    this.#decoded = new Uint8Array(Math.max(2 * this.#decoded.length, count));
    this.#decodedEnd = 0;
  }
}

function simpleEscape(byte: number): number {
  switch (byte) {
    case 0x22:
    case 0x5c:
    case 0x2f:
      return byte;
    case 0x62:
      return 0x08;
    case 0x66:
      return 0x0c;
    case 0x6e:
      return 0x0a;
    case 0x72:
      return 0x0d;
    case 0x74:
      return 0x09;
    default:
      return -1;
  }
}

export function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** A lone surrogate becomes U+FFFD, as in Go's decoder. */
function encodeUtf8(out: Uint8Array, start: number, point: number): number {
  const unit = point >= 0xd800 && point < 0xe000 ? 0xfffd : point;
  let at = start;
  if (unit < 0x80) out[at++] = unit;
  else if (unit < 0x800) {
    out[at++] = 0xc0 | (unit >> 6);
    out[at++] = 0x80 | (unit & 0x3f);
  } else if (unit < 0x10000) {
    out[at++] = 0xe0 | (unit >> 12);
    out[at++] = 0x80 | ((unit >> 6) & 0x3f);
    out[at++] = 0x80 | (unit & 0x3f);
  } else {
    out[at++] = 0xf0 | (unit >> 18);
    out[at++] = 0x80 | ((unit >> 12) & 0x3f);
    out[at++] = 0x80 | ((unit >> 6) & 0x3f);
    out[at++] = 0x80 | (unit & 0x3f);
  }
  return at;
}
