import { createHash, type Hash } from 'node:crypto';
import { FormatError } from '../estargz/error.ts';
import { type Inflater, openInflater } from '../estargz/inflater.ts';
import { TAIL_LIMIT_BYTES } from '../estargz/member.ts';
import { chunkDigestOf } from '../tree/inode-table.ts';
import type { StoreError } from './error.ts';
import { chunksOf, inflatedSizeBytes } from './member-index.ts';
import { badMember, type ChunkTarget, writeData, wrongDigest } from './member-reader.ts';
import { isPresent } from './presence.ts';

/** Inflating costs 2.5 ms a MiB; a piece of this size keeps the event loop's other work waiting for less than 1 ms. */
const pieceBytes = 256 * 1024;
const sliceBytes = 4 * 1024 * 1024;
let piece: Buffer | undefined;

/**
 * Streams a large member into the data file: inflated, hashed and written as its bytes arrive, in constant memory and
 * without delay after the last byte. Content is written before its digest is known; the chunk's bit, without which
 * nobody reads it, is set only after the digest matched.
 */
export class MemberStream {
  readonly #target: ChunkTarget;
  readonly #member: number;
  readonly #chunks: readonly number[];
  readonly #neededBytes: number;
  /** How far to inflate: without a digest up to the member's CRC, within a limit. */
  readonly #endBytes: number;
  #inflater: Inflater | undefined;
  #input: Buffer = Buffer.alloc(0);
  #consumed = 0;
  #isOutputFull = false;
  #cursor = 0;
  #position = 0;
  #hash: Hash | undefined;
  #rejected: StoreError | undefined;
  #pending: { readonly chunk: number; readonly digest: Buffer }[] = [];

  constructor(target: ChunkTarget, member: number) {
    const { table, index, compression } = target;
    this.#target = target;
    this.#member = member;
    this.#neededBytes = inflatedSizeBytes(table, index, member);
    this.#chunks = [...chunksOf(index, member)].sort((a, b) => table.chunkInnerOffset[a]! - table.chunkInnerOffset[b]!);
    const toEnd = this.#chunks.some((chunk) => table.chunkHasDigest[chunk] !== 1);
    this.#endBytes = this.#neededBytes + (toEnd ? TAIL_LIMIT_BYTES : 0);
    this.#inflater = openInflater(compression);
  }

  /**
   * Takes the next compressed bytes; they are in use while this, and then `more`, returns true. `finish` reports damage.
   * Throws StoreError 'disk'.
   */
  write(compressed: Buffer): boolean {
    this.#input = compressed;
    this.#consumed = 0;
    this.#isOutputFull = true;
    return this.more();
  }

  /** Inflates for a few milliseconds at most, since a few bytes may expand a lot. True if output is left. */
  more(): boolean {
    const inflater = this.#inflater;
    if (inflater === undefined || this.#rejected !== undefined) return false;
    const input = this.#input;
    piece ??= Buffer.allocUnsafeSlow(pieceBytes);
    const sliceEnd = this.#position + sliceBytes;
    try {
      // The output may be full with more to come out of bytes already taken in: go on until it is not.
      while (this.#consumed < input.length || this.#isOutputFull) {
        if (this.#cursor === this.#chunks.length && this.#position >= this.#endBytes) return false;
        if (this.#position >= sliceEnd) return true;
        inflater.inflate(input, this.#consumed, input.length, piece, 0, pieceBytes);
        const produced = pieceBytes - inflater.outputLeft;
        const nextConsumed = input.length - inflater.inputLeft;
        if (produced === 0 && nextConsumed === this.#consumed) return false;
        this.#consumed = nextConsumed;
        this.#isOutputFull = inflater.outputLeft === 0;
        this.#distribute(piece.subarray(0, produced));
      }
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      this.#rejected = badMember(this.#target, this.#member, error);
    }
    return false;
  }

  /** Call after the last write. Throws StoreError 'corrupt' if the member was damaged. */
  finish(): void {
    this.close();
    if (this.#rejected !== undefined) throw this.#rejected;
    if (this.#cursor < this.#chunks.length) {
      const message = `it inflates to ${this.#position} bytes, not the ${this.#neededBytes} the TOC promises`;
      throw badMember(this.#target, this.#member, new FormatError('member', message));
    }
    for (const { chunk, digest } of this.#pending) this.#target.chunkStored(chunk, digest);
  }

  close(): void {
    this.#inflater?.close();
    this.#inflater = undefined;
  }

  #distribute(bytes: Buffer): void {
    const { table, bits } = this.#target;
    let at = 0;
    while (at < bytes.length && this.#cursor < this.#chunks.length) {
      const chunk = this.#chunks[this.#cursor]!;
      const start = table.chunkInnerOffset[chunk]!;
      const end = start + table.chunkSizeBytes[chunk]!;
      const position = this.#position + at;
      if (position < start) {
        at += Math.min(start - position, bytes.length - at);
        continue;
      }
      if (this.#hash === undefined && position !== start) {
        throw new FormatError('chunk', `chunks overlap at offset ${start} of the inflated member`);
      }
      this.#hash ??= createHash('sha256');
      const content = bytes.subarray(at, at + Math.min(end - position, bytes.length - at));
      this.#hash.update(content);
      if (!isPresent(bits, chunk)) {
        this.#target.chunkOverwritten(chunk);
        writeData(this.#target, content, table.chunkDataOffset[chunk]! + position - start);
      }
      at += content.length;
      if (position + content.length === end) this.#finishChunk(chunk);
    }
    this.#position += bytes.length;
  }

  #finishChunk(chunk: number): void {
    const { table, bits } = this.#target;
    const digest = this.#hash!.digest();
    this.#hash = undefined;
    this.#cursor++;
    if (isPresent(bits, chunk)) return;
    if (table.chunkHasDigest[chunk] !== 1) this.#pending.push({ chunk, digest });
    else if (digest.equals(chunkDigestOf(table, chunk))) this.#target.chunkStored(chunk);
    else this.#rejected ??= wrongDigest(this.#target, chunk, this.#member);
  }
}
