import { closeSync, constants, fstatSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { presenceWords } from './presence.ts';
import type { UnverifiedChunks } from './unverified-chunks.ts';

/**
 * `bitmap`: which chunks the data file may hold, for the daemon after this one. Written right behind each chunk and never
 * synced: whoever reads it takes a bit as a hint, and verifies the chunk before it serves it (unverified-chunks.ts), so a
 * power loss, a torn write or a damaged bitmap costs a fetch and nothing else.
 *
 * Layout: "sgzbits1", 16 bytes unused, LE32 chunk count, 4 bytes zero, then LE32 words, bit n of word n/32 for chunk n.
 * Versions before 0.2 noted the boot id in the unused bytes, and kept `bitmap.synced` beside it.
 */
const magic = 'sgzbits1';
const headerBytes = 32;

/** The bits left by an earlier daemon in `directory`; none if they are for another number of chunks. */
export function readPresence(directory: string, chunkCount: number): Int32Array {
  const words = presenceWords(chunkCount);
  const bytes = Buffer.alloc(headerBytes + words * 4);
  const none = new Int32Array(words);
  let fd: number;
  try {
    fd = openSync(join(directory, 'bitmap'), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return none;
  }
  try {
    if (!fstatSync(fd).isFile() || readSync(fd, bytes, 0, bytes.length, 0) !== bytes.length) return none;
  } finally {
    closeSync(fd);
  }
  if (bytes.toString('latin1', 0, 8) !== magic || bytes.readUInt32LE(24) !== chunkCount) return none;
  const bits = Int32Array.from({ length: words }, (_, word) => bytes.readInt32LE(headerBytes + word * 4));
  if (chunkCount % 32 !== 0 && words > 0) bits[words - 1]! &= (1 << (chunkCount % 32)) - 1;
  return bits;
}

/** Keeps `bitmap` in step with the chunks that are present or still to be verified. Owns its descriptor. */
export class PresenceFile {
  readonly #bits: Int32Array;
  readonly #unverified: UnverifiedChunks;
  readonly #fd: number;
  #dirtyFirst = Number.POSITIVE_INFINITY;
  #dirtyLast = -1;
  #isFlushQueued = false;

  /** Throws if the file cannot be opened; a full disk is tolerated once it exists. */
  constructor(directory: string, chunkCount: number, bits: Int32Array, unverified: UnverifiedChunks) {
    this.#bits = bits;
    this.#unverified = unverified;
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    this.#fd = openSync(join(directory, 'bitmap'), flags, 0o600);
    rmSync(join(directory, 'bitmap.synced'), { force: true });
    const words = presenceWords(chunkCount);
    const bytes = Buffer.alloc(headerBytes + words * 4);
    bytes.write(magic, 0, 'latin1');
    bytes.writeUInt32LE(chunkCount, 24);
    for (let word = 0; word < words; word++) bytes.writeInt32LE(this.#word(word), headerBytes + word * 4);
    this.#write(bytes, 0);
  }

  /** Schedules a write of the chunk's state for the end of this event-loop turn. */
  note(chunk: number): void {
    const word = chunk >>> 5;
    this.#dirtyFirst = Math.min(this.#dirtyFirst, word);
    this.#dirtyLast = Math.max(this.#dirtyLast, word);
    if (this.#isFlushQueued) return;
    this.#isFlushQueued = true;
    setImmediate(() => this.#flush());
  }

  close(): void {
    this.#flush();
    this.#isFlushQueued = true;
    closeSync(this.#fd);
  }

  #flush(): void {
    this.#isFlushQueued = false;
    if (this.#dirtyLast < 0) return;
    const first = this.#dirtyFirst;
    const bytes = Buffer.alloc((this.#dirtyLast - first + 1) * 4);
    for (let word = first; word <= this.#dirtyLast; word++) bytes.writeInt32LE(this.#word(word), (word - first) * 4);
    this.#dirtyFirst = Number.POSITIVE_INFINITY;
    this.#dirtyLast = -1;
    this.#write(bytes, headerBytes + first * 4);
  }

  #word(word: number): number {
    return Atomics.load(this.#bits, word) | this.#unverified.words[word]!;
  }

  #write(bytes: Buffer, at: number): void {
    try {
      writeSync(this.#fd, bytes, 0, bytes.length, at);
    } catch {
      // A full disk: the bits stay true in memory, and a restart fetches these chunks again.
    }
  }
}
