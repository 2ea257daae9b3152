import { FormatError } from '../estargz/error.ts';
import { hexValue } from '../estargz/json-scanner.ts';
import { MEMBER_SIZE_LIMIT_BYTES } from '../estargz/member.ts';
import { type ByteSlice, sliceText, type TocEntry } from '../estargz/toc.ts';
import { DIGEST_BYTES } from '../registry/digest.ts';
import { freeColumns, growColumns } from './columns.ts';
import type { MemoryAccount } from './memory.ts';
import { isWhole, type ObjectColumns, refuse } from './object-columns.ts';

/** Maximum size of a file on ext4: the data file holds all files of the layer. */
export const DATA_SIZE_LIMIT_BYTES = 2 ** 44;

const columns = ['chunkObject', 'chunkOffset', 'chunkInner', 'chunkSize', 'chunkHasDigest'] as const;

/** The chunks of a TOC's regular files, one row each; checked when added. */
export class ChunkColumns {
  chunkCount = 0;
  chunkObject = new Uint32Array();
  chunkOffset = new Float64Array();
  chunkInner = new Uint32Array();
  chunkSize = new Uint32Array();
  chunkHasDigest = new Uint8Array();
  chunkDigest = new Uint8Array();
  readonly #objects: ObjectColumns;
  readonly #payloadEnd: number;
  readonly #memory: MemoryAccount;
  /** The regular file whose chunks are being added; 0 if none. */
  #file = 0;
  #fileSize = 0;
  #nextChunkOffset = 0;

  constructor(objects: ObjectColumns, payloadEnd: number, capacity: number, memory: MemoryAccount) {
    this.#objects = objects;
    this.#payloadEnd = payloadEnd;
    this.#memory = memory;
    this.#grow(capacity);
  }

  free(): void {
    freeColumns(this, [...columns, 'chunkDigest']);
  }

  /** The regular file whose chunks may follow; 0 if none. */
  get file(): number {
    return this.#file;
  }

  /** Adds a regular file with its first chunk. */
  begin(object: number, entry: TocEntry): void {
    if (!isWhole(entry.size, DATA_SIZE_LIMIT_BYTES)) throw refuse(entry, 'entry', `size ${entry.size}`);
    const objects = this.#objects;
    objects.size[object] = entry.size;
    objects.value[object] = this.chunkCount;
    objects.valueLength[object] = 0;
    if (entry.size === 0) return;
    this.#file = object;
    this.#fileSize = entry.size;
    this.#nextChunkOffset = 0;
    this.add(entry);
  }

  /** Adds the next chunk of the current file. */
  add(entry: TocEntry): void {
    if (entry.hasZerosChunk) throw refuse(entry, 'unsupported', 'a chunk of type "zeros"');
    const fileOffset = entry.chunkOffset;
    if (fileOffset !== this.#nextChunkOffset) {
      const problem = fileOffset > this.#nextChunkOffset ? 'leaves a gap' : 'overlaps the one before it';
      throw refuse(entry, 'chunk', `the chunk at ${fileOffset} ${problem}; ${this.#nextChunkOffset} is next`);
    }
    const remaining = this.#fileSize - fileOffset;
    const size = entry.chunkSize === 0 ? remaining : entry.chunkSize;
    if (!isWhole(size, remaining) || size === 0) {
      throw refuse(entry, 'chunk', `a chunk of ${size} bytes where ${remaining} are left of the file`);
    }
    const { offset, innerOffset: inner } = entry;
    // The member at offset 0 begins with the first tar header, so content has an inner offset there.
    if (!isWhole(offset, this.#payloadEnd - 1) || !isWhole(inner, MEMBER_SIZE_LIMIT_BYTES) || offset + inner === 0) {
      throw refuse(
        entry,
        'chunk',
        `offset ${offset} (inner offset ${inner}) in a blob of ${this.#payloadEnd} bytes of content`,
      );
    }
    if (inner + size > MEMBER_SIZE_LIMIT_BYTES) {
      throw refuse(
        entry,
        'limit',
        `a chunk that ends ${inner + size} bytes into its member (limit ${MEMBER_SIZE_LIMIT_BYTES})`,
      );
    }
    if (this.chunkCount === this.chunkObject.length) this.#grow(Math.ceil(this.chunkCount * 1.5));
    const row = this.chunkCount++;
    this.chunkObject[row] = this.#file;
    this.chunkOffset[row] = offset;
    this.chunkInner[row] = inner;
    this.chunkSize[row] = size;
    const isWholeFile = size === this.#fileSize;
    const slice = entry.chunkDigest.start === entry.chunkDigest.end && isWholeFile ? entry.digest : entry.chunkDigest;
    this.chunkHasDigest[row] = slice.start === slice.end ? 0 : 1;
    if (slice.start !== slice.end) this.#noteDigest(row, slice, entry);
    this.#nextChunkOffset += size;
    this.#objects.valueLength[this.#file]!++;
  }

  /** Call before the next entry and at the end. Throws unless the chunks cover the file; `nameOf` is for the message. */
  finish(nameOf: (object: number) => string): void {
    if (this.#file !== 0 && this.#nextChunkOffset !== this.#fileSize) {
      throw new FormatError('chunk', `its chunks cover ${this.#nextChunkOffset} of ${this.#fileSize} bytes`, {
        entry: nameOf(this.#file),
      });
    }
    this.#file = 0;
  }

  #noteDigest(row: number, slice: ByteSlice, entry: TocEntry): void {
    const { bytes, start, end } = slice;
    const algorithm = 'sha256:';
    let isGood = end - start === algorithm.length + 2 * DIGEST_BYTES;
    for (let at = 0; at < algorithm.length && isGood; at++) isGood = bytes[start + at] === algorithm.charCodeAt(at);
    for (let at = 0; at < DIGEST_BYTES && isGood; at++) {
      const high = hexValue(bytes[start + algorithm.length + 2 * at]!);
      const low = hexValue(bytes[start + algorithm.length + 2 * at + 1]!);
      isGood = high >= 0 && low >= 0;
      this.chunkDigest[row * DIGEST_BYTES + at] = high * 16 + low;
    }
    if (!isGood)
      throw refuse(entry, 'unsupported', `digest ${JSON.stringify(sliceText(slice).slice(0, 90))} is not a sha256`);
  }

  #grow(capacity: number): void {
    growColumns(this, columns, capacity, this.#memory);
    growColumns(this, ['chunkDigest'], capacity * DIGEST_BYTES, this.#memory);
  }
}
