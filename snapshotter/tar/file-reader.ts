import { readSync } from 'node:fs';
import type { ReadAt } from './tar.ts';

/** Reads through a window, because most headers are close to each other. */
export function windowedReader(fd: number, sizeBytes: number): ReadAt {
  const window = Buffer.allocUnsafe(64 * 1024);
  let windowOffset = 0;
  let windowLength = 0;
  return (offset, length) => {
    if (length > window.length) return readExactly(fd, offset, length);
    if (offset < windowOffset || offset + length > windowOffset + windowLength) {
      windowOffset = offset;
      windowLength = Math.min(window.length, sizeBytes - offset);
      readInto(fd, window, 0, offset, windowLength);
    }
    return window.subarray(offset - windowOffset, offset - windowOffset + length);
  };
}

function readExactly(fd: number, offset: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafeSlow(length);
  readInto(fd, buffer, 0, offset, length);
  return buffer;
}

export function readInto(fd: number, target: Buffer, start: number, offset: number, length: number): void {
  for (let done = 0; done < length; ) {
    const count = readSync(fd, target, start + done, length - done, offset + done);
    if (count === 0) throw new RangeError(`unexpected end of file at ${offset + done}`);
    done += count;
  }
}
