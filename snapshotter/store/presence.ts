import type { InodeTable } from '../tree/inode-table.ts';

/**
 * One SharedArrayBuffer a layer, two bitmaps of one bit per chunk: first `present` (verified and in the data file), then
 * `used` (some reader asked for it). The main thread sets the first, any thread the second; the second tells the fetch
 * policy whether what it fetched unasked was worth it, since a reader served from shared memory reports nothing.
 */
export function allocatePresence(chunkCount: number): SharedArrayBuffer {
  return new SharedArrayBuffer(2 * presenceWords(chunkCount) * 4);
}

/** 32-bit words of one of the two bitmaps. */
export function presenceWords(chunkCount: number): number {
  return Math.ceil(chunkCount / 32);
}

/**
 * Whether bytes [dataOffset, dataOffset + sizeBytes) of the data file are all present; if so, marks the chunks as used.
 * `bits` is an Int32Array over the layer's whole presence buffer. Bytes that belong to no chunk (padding up to the next
 * 4096 boundary, the end of the file) count as there.
 */
export function isRangePresent(table: InodeTable, bits: Int32Array, dataOffset: number, sizeBytes: number): boolean {
  const first = firstChunkFrom(table, dataOffset);
  const end = dataOffset + sizeBytes;
  let next = first;
  for (; next < table.chunkCount && table.chunkDataOffset[next]! < end; next++)
    if (!isPresent(bits, next)) return false;
  const words = bits.length / 2;
  for (let chunk = first; chunk < next; chunk++) setBit(bits, words, chunk);
  return true;
}

/** Bytes of all chunks, and of the present ones. */
export function countContent(
  { chunkCount, chunkSizeBytes }: InodeTable,
  bits: Int32Array,
): { readonly contentBytes: number; readonly presentBytes: number } {
  let contentBytes = 0;
  let presentBytes = 0;
  for (let chunk = 0; chunk < chunkCount; chunk++) {
    contentBytes += chunkSizeBytes[chunk]!;
    if (isPresent(bits, chunk)) presentBytes += chunkSizeBytes[chunk]!;
  }
  return { contentBytes, presentBytes };
}

/** The first chunk that ends after `dataOffset`; `chunkCount` if none does. */
export function firstChunkFrom(table: InodeTable, dataOffset: number): number {
  let low = 0;
  let high = table.chunkCount;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (table.chunkDataOffset[middle]! + table.chunkSizeBytes[middle]! <= dataOffset) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function isPresent(bits: Int32Array, chunk: number): boolean {
  return ((Atomics.load(bits, chunk >>> 5) >>> (chunk & 31)) & 1) === 1;
}

/** Call only after the chunk's verified bytes are in the data file: the worker reads them the moment it sees the bit. */
export function markPresent(bits: Int32Array, chunk: number): void {
  Atomics.or(bits, chunk >>> 5, 1 << (chunk & 31));
}

export function isUsed(bits: Int32Array, chunk: number): boolean {
  return ((Atomics.load(bits, bits.length / 2 + (chunk >>> 5)) >>> (chunk & 31)) & 1) === 1;
}

export function markUsed(bits: Int32Array, chunk: number): void {
  setBit(bits, bits.length / 2, chunk);
}

/** Reads before it writes: a shared cache line that is only read does not bounce between cores. */
function setBit(bits: Int32Array, firstWord: number, chunk: number): void {
  const word = firstWord + (chunk >>> 5);
  const bit = 1 << (chunk & 31);
  if ((Atomics.load(bits, word) & bit) === 0) Atomics.or(bits, word, bit);
}
