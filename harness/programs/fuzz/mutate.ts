import { type Random, randomBelow } from '../../../measurements/stats/random.ts';

/** Larger inputs are slower and find little more. */
export const maxInputBytes = 64 * 1024;

const integers = [0, 1, -1, 7, 127, 128, 255, 256, 4095, 4096, 32767, 32768, 65535, 65536, 2 ** 31 - 1, -(2 ** 31)];
const decimals = ['0', '1', '-1', '255', '4096', '4294967296', '9007199254740991', '9007199254740993', '1e9', '0.5'];

/** Makes 1 to 8 changes to a copy of `input`: bytes, integers, decimal numbers, blocks, dictionary words, parts of `other`. */
export function mutate(input: Uint8Array, other: Uint8Array, dictionary: readonly string[], random: Random): Buffer {
  let bytes: Buffer = Buffer.from(input);
  const changes = 1 << randomBelow(4, random);
  for (let change = 0; change < changes; change++) bytes = changeOnce(bytes, other, dictionary, random);
  return bytes.subarray(0, maxInputBytes);
}

function changeOnce(bytes: Buffer, other: Uint8Array, dictionary: readonly string[], random: Random): Buffer {
  const below = (bound: number): number => (bound < 1 ? 0 : randomBelow(bound, random));
  const at = below(bytes.length + 1);
  const length = 1 + below(1 << below(10));
  switch (below(10)) {
    case 0:
      if (at < bytes.length) bytes[at]! ^= 1 << below(8);
      return bytes;
    case 1:
      if (at < bytes.length) bytes[at] = below(256);
      return bytes;
    case 2:
      return writeInteger(bytes, at, integers[below(integers.length)]!, below(6));
    case 3:
      return replaceNumber(bytes, at, decimals[below(decimals.length)]!);
    case 4:
      return splice(bytes, at, length, Buffer.alloc(0));
    case 5:
      return splice(bytes, at, 0, bytes.subarray(below(bytes.length), below(bytes.length) + length));
    case 6: {
      const start = below(other.length);
      return splice(bytes, at, below(2) * length, Buffer.from(other.subarray(start, start + length)));
    }
    case 7:
      return bytes.subarray(0, at);
    case 8:
      return splice(bytes, at, 0, Buffer.alloc(length, below(256)));
    default: {
      const word = dictionary[below(dictionary.length)];
      if (word === undefined) return bytes;
      return splice(bytes, at, below(2) * word.length, Buffer.from(word, 'latin1'));
    }
  }
}

function splice(bytes: Buffer, at: number, removed: number, added: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}

function writeInteger(bytes: Buffer, at: number, value: number, form: number): Buffer {
  const size = [1, 2, 2, 4, 4, 8][form]!;
  if (at + size > bytes.length) return bytes;
  const wide = BigInt.asUintN(64, BigInt(value));
  const encoded = Buffer.alloc(8);
  encoded.writeBigUInt64LE(wide);
  const least = encoded.subarray(0, size);
  bytes.set(form === 2 || form === 4 ? Buffer.from(least).reverse() : least, at);
  return bytes;
}

/** Replaces the first decimal number at or after `at`: text formats write lengths and offsets in decimal. */
function replaceNumber(bytes: Buffer, at: number, text: string): Buffer {
  let start = at;
  while (start < bytes.length && !isDigit(bytes[start]!)) start++;
  let end = start;
  while (end < bytes.length && isDigit(bytes[end]!)) end++;
  return splice(bytes, start, end - start, Buffer.from(text));
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
