import { closeSync, constants, fdatasync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { presenceWords } from './presence.ts';

/**
 * The presence bitmap on disk, twice:
 *
 *   bitmap         written right behind each chunk, no fsync. A killed process loses nothing, since the page cache holds
 *                  data and bitmap alike; after a power loss the two may disagree, so it counts only within the same boot.
 *   bitmap.synced  written by `checkpoint` after fdatasync of the data file, itself synced and renamed into place: what it
 *                  says is on disk. Counts always.
 *
 * Layout: "sgzbits1", 16 bytes boot id, LE32 chunk count, 4 bytes zero, then LE32 words, bit n of word n/32 for chunk n.
 */
const magic = 'sgzbits1';
const headerBytes = 32;
const bootId = Buffer.from(
  readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').replace(/[^0-9a-f]/g, ''),
  'hex',
).subarray(0, 16);
const datasync = promisify(fdatasync);

export class PresenceFile {
  readonly #directory: string;
  readonly #chunkCount: number;
  readonly #bits: Int32Array;
  readonly #fd: number;
  #dirtyFirst = Number.POSITIVE_INFINITY;
  #dirtyLast = -1;
  #flushQueued = false;
  /** Chunks were stored since the last checkpoint. */
  #unsynced = false;

  /** Opens, or creates, the files in `directory` and sets the bits that can be trusted. */
  constructor(directory: string, chunkCount: number, bits: Int32Array) {
    this.#directory = directory;
    this.#chunkCount = chunkCount;
    this.#bits = bits;
    const words = presenceWords(chunkCount);
    this.#fd = openSync(join(directory, 'bitmap'), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    const live = readWords(this.#fd, chunkCount, true);
    const synced = readSynced(directory, chunkCount);
    for (let word = 0; word < words; word++) bits[word] = (live?.[word] ?? 0) | (synced?.[word] ?? 0);
    if (chunkCount % 32 !== 0 && words > 0) bits[words - 1]! &= (1 << (chunkCount % 32)) - 1;
    try {
      writeSync(this.#fd, encode(chunkCount, bits), 0, headerBytes + words * 4, 0);
    } catch {
      // A full disk: what the synced one says counts still.
    }
  }

  /** After the chunk's bit was set in memory. Reaches the file at the end of this turn of the event loop. */
  note(chunk: number): void {
    const word = chunk >>> 5;
    this.#dirtyFirst = Math.min(this.#dirtyFirst, word);
    this.#dirtyLast = Math.max(this.#dirtyLast, word);
    this.#unsynced = true;
    if (this.#flushQueued) return;
    this.#flushQueued = true;
    setImmediate(() => this.#flush());
  }

  /** Makes what is present now survive a power loss. */
  async checkpoint(dataFd: number): Promise<void> {
    if (!this.#unsynced) return;
    this.#unsynced = false;
    try {
      await this.#sync(dataFd);
    } catch (error) {
      this.#unsynced = true;
      throw error;
    }
  }

  async #sync(dataFd: number): Promise<void> {
    const snapshot = encode(this.#chunkCount, this.#bits);
    await datasync(dataFd);
    const temporary = join(this.#directory, 'bitmap.new');
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(snapshot);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(this.#directory, 'bitmap.synced'));
  }

  close(): void {
    this.#flush();
    this.#flushQueued = true;
    closeSync(this.#fd);
  }

  #flush(): void {
    this.#flushQueued = false;
    if (this.#dirtyLast < 0) return;
    const first = this.#dirtyFirst;
    const words = Buffer.alloc((this.#dirtyLast - first + 1) * 4);
    for (let word = first; word <= this.#dirtyLast; word++)
      words.writeInt32LE(Atomics.load(this.#bits, word), (word - first) * 4);
    this.#dirtyFirst = Number.POSITIVE_INFINITY;
    this.#dirtyLast = -1;
    try {
      writeSync(this.#fd, words, 0, words.length, headerBytes + first * 4);
    } catch {
      // A full disk: the bits stay true in memory, and a restart fetches these chunks again.
    }
  }
}

function encode(chunkCount: number, bits: Int32Array): Buffer {
  const words = presenceWords(chunkCount);
  const bytes = Buffer.alloc(headerBytes + words * 4);
  bytes.write(magic, 0, 'latin1');
  bootId.copy(bytes, 8);
  bytes.writeUInt32LE(chunkCount, 24);
  for (let word = 0; word < words; word++) bytes.writeInt32LE(Atomics.load(bits, word), headerBytes + word * 4);
  return bytes;
}

function readSynced(directory: string, chunkCount: number): Int32Array | undefined {
  let fd: number;
  try {
    fd = openSync(join(directory, 'bitmap.synced'), constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch {
    return undefined;
  }
  try {
    return readWords(fd, chunkCount, false);
  } finally {
    closeSync(fd);
  }
}

/** The words of a bitmap file, or undefined if it is not one for this layer and, where it matters, of this boot. */
function readWords(fd: number, chunkCount: number, sameBoot: boolean): Int32Array | undefined {
  const words = presenceWords(chunkCount);
  const bytes = Buffer.alloc(headerBytes + words * 4);
  if (!fstatSync(fd).isFile() || readSync(fd, bytes, 0, bytes.length, 0) !== bytes.length) return undefined;
  if (bytes.toString('latin1', 0, 8) !== magic || bytes.readUInt32LE(24) !== chunkCount) return undefined;
  if (sameBoot && !bytes.subarray(8, 24).equals(bootId)) return undefined;
  return Int32Array.from({ length: words }, (_, word) => bytes.readInt32LE(headerBytes + word * 4));
}
