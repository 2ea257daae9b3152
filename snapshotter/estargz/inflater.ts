import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { FormatError } from './error.ts';

export type Compression = 'gzip' | 'zstd';

/** Deflate's maximum: a match of 258 bytes takes at least 2 bits. */
export const DEFLATE_RATIO_LIMIT = 1032;
/** RFC 8878: a block inflates to at most 128 KiB and takes at least 4 bytes, 3 of them its header. */
export const ZSTD_RATIO_LIMIT = 32_768;

/**
 * zstd allocates the window that a frame's header asks for, by default up to 128 MiB per stream, so a few bytes of blob
 * could exhaust memory. containers/storage asks for 32 MiB at its best level.
 */
const zstdParams = { [constants.ZSTD_d_windowLogMax]: 25 };

/** The internal handle of Node's zlib streams, which its own *Sync functions use too. */
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

/** Gzip inflaters for reuse, which saves a tenth of the time for a small member. */
const idle: Inflater[] = [];
const maxIdle = 8;

/** Opens an inflater for one member; close it afterwards. */
export function openInflater(compression: Compression): Inflater {
  const used = compression === 'gzip' ? idle.pop() : undefined;
  used?.reset();
  return used ?? new Inflater(compression);
}

/**
 * Incremental, synchronous inflation of one member into the caller's buffers. zstd inflaters are not reused: reset() of
 * Node's zstd streams loses the window limit and does not clear an error.
 *
 * The *Sync functions of node:zlib inflate a whole member or fail. A member's inflated size is not known in advance (tar
 * headers follow the content), so they would either inflate bombs up to a guessed limit or refuse valid members; they
 * also allocate the output twice. The native handle stops when the output is full. It is not a public interface: Node's
 * version is pinned in package.json, and member.test.ts fails if the handle changes.
 */
class Inflater {
  readonly #compression: Compression;
  readonly #native: NativeInflate;
  /** [bytes left in the output, bytes left in the input], written by the native code. */
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
   * Inflates from input[inputStart, inputEnd) into output[outputStart, outputEnd) until either is used up or the stream
   * ends; `inputLeft` and `outputLeft` are then the bytes left of each. Throws FormatError('member') on corrupt data.
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
    throw new FormatError('member', `corrupt compressed data: ${message} (${code})`);
  }

  get outputLeft(): number {
    return this.#left[0]!;
  }

  get inputLeft(): number {
    return this.#left[1]!;
  }

  /** Prepares for the start of another member. */
  reset(): void {
    this.#failure = undefined;
    this.#native.reset();
  }

  /** Keeps the inflater for reuse, or frees its memory without waiting for garbage collection. Call once, last. */
  close(): void {
    if (this.#compression === 'gzip' && idle.length < maxIdle) idle.push(this);
    else this.#native.close();
  }
}

export type { Inflater };
