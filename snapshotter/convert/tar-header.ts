/** The few tar headers the converter writes itself: landmarks and the TOC (POSIX ustar, all else zero). */
import { blockSizeBytes, roundUpToBlock } from './tar-fields.ts';

/** One header block of a root-owned regular file dated 1970. */
export function encodeFileHeader(name: string, sizeBytes: number, mode = 0o644): Buffer {
  const block = Buffer.alloc(blockSizeBytes);
  block.write(name, 0, 100, 'latin1');
  block.write(octal(mode, 7), 100, 'latin1');
  block.write(octal(0, 7), 108, 'latin1');
  block.write(octal(0, 7), 116, 'latin1');
  block.write(octal(sizeBytes, 11), 124, 'latin1');
  block.write(octal(0, 11), 136, 'latin1');
  block.write('        ', 148, 'latin1');
  block.write('0', 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${octal(sum, 6)}\0 `, 148, 'latin1');
  return block;
}

/** Header, payload, padding. */
export function encodeFile(name: string, payload: Uint8Array): Buffer {
  const file = Buffer.alloc(blockSizeBytes + roundUpToBlock(payload.length));
  encodeFileHeader(name, payload.length).copy(file);
  file.set(payload, blockSizeBytes);
  return file;
}

/** Two zero blocks end an archive. */
export const endOfArchive: Buffer = Buffer.alloc(2 * blockSizeBytes);

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}
