import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { FormatError } from './error.ts';

export type Compression = 'gzip' | 'zstd';

/** Deflate cannot do better: 258 bytes from 2 bits. */
export const DEFLATE_RATIO_LIMIT = 1032;
/** RFC 8878: a block becomes 128 KiB at most, and has a header of 3 bytes and a byte of content at least. */
export const ZSTD_RATIO_LIMIT = 32_768;

/**
 * zstd keeps as much of what it inflated as a frame's header asks for, 128 MiB where nobody objects, for each stream: a few
 * bytes of blob would fill the memory. 32 MiB is what containers/storage asks for at its best level.
 */
const zstdParams = { [constants.ZSTD_d_windowLogMax]: 25 };

/** What a zlib stream of Node carries inside: the same calls its own *Sync functions make. */
interface NativeInflate {
  onerror: (message: string, errno: number, code: string) => void;
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void;
  reset(): void;
  close(): void;
}

/** Of gzip: used again, they save a tenth of the time of a small member. */
const idle: Inflater[] = [];
const mostIdle = 8;

/** An inflater for one member, to be closed after it. */
export function openInflater(compression: Compression): Inflater {
  const used = compression === 'gzip' ? idle.pop() : undefined;
  used?.reset();
  return used ?? new Inflater(compression);
}

/**
 * Incremental, synchronous inflation of one member into buffers of the caller's choice. One of zstd
 * is not used again: reset() of Node's zstd streams forgets the window's limit, and mends nothing after damaged bytes.
 *
 * The *Sync functions of node:zlib inflate all there is or nothing. A member's length is not known beforehand (tar headers
 * ride at its end), so they would either inflate bombs up to a guessed limit or refuse honest members; and they
 * allocate the output twice. Hence the native stream underneath, which stops when the output is full. Node's version is
 * pinned in package.json, and member.test.ts fails if this inner interface ever changes.
 */
class Inflater {
  readonly #compression: Compression;
  readonly #native: NativeInflate;
  /** [room left in the output, input left], written by the native side. */
  readonly #left: Uint32Array;
  #failure: { message: string; code: string } | undefined;

  constructor(compression: Compression) {
    this.#compression = compression;
    const stream = (compression === 'gzip'
      ? createGunzip()
      : createZstdDecompress({ params: zstdParams })) as unknown as {
      _handle: NativeInflate;
      _writeState: Uint32Array;
    };
    this.#native = stream._handle;
    this.#left = stream._writeState;
    this.#native.onerror = (message, _errno, code) => {
      this.#failure = { message, code };
    };
  }

  /**
   * Inflates from input[inputStart, inputEnd) into output[outputStart, outputEnd) until one of the two is used up.
   * Afterwards `inputLeft` and `outputLeft` say how much of each remains. Throws FormatError('member') on damaged bytes.
   */
  inflate(
    input: Uint8Array,
    inputStart: number,
    inputEnd: number,
    output: Uint8Array,
    outputStart: number,
    outputEnd: number,
  ): void {
    this.#native.writeSync(
      constants.Z_NO_FLUSH,
      input,
      inputStart,
      inputEnd - inputStart,
      output,
      outputStart,
      outputEnd - outputStart,
    );
    if (this.#failure === undefined) return;
    const { message, code } = this.#failure;
    throw new FormatError('member', `compressed bytes are damaged: ${message} (${code})`);
  }

  get outputLeft(): number {
    return this.#left[0]!;
  }

  get inputLeft(): number {
    return this.#left[1]!;
  }

  /** The next bytes are the start of a member. */
  reset(): void {
    this.#failure = undefined;
    this.#native.reset();
  }

  /** Gives its memory back at once, not when it is collected, or keeps it for another member. Once, and last. */
  close(): void {
    if (this.#compression === 'gzip' && idle.length < mostIdle) idle.push(this);
    else this.#native.close();
  }
}

export type { Inflater };
