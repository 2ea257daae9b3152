import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { FormatError } from './error.ts';

export type Compression = 'gzip' | 'zstd';

/** Maximum of deflate: 258 bytes from 2 bits. */
export const DEFLATE_RATIO_LIMIT = 1032;
/** RFC 8878: a block inflates to at most 128 KiB and takes at least 4 bytes, 3 of them its header. */
export const ZSTD_RATIO_LIMIT = 32_768;

/**
 * A zstd frame's header sets the window that a decoder allocates, up to 128 MiB by default, so a few bytes of blob could exhaust
 * memory. containers/storage uses 32 MiB at its highest level.
 */
const zstdParams = { [constants.ZSTD_d_windowLogMax]: 25 };

/** The native handle of a Node zlib stream, which node:zlib's own *Sync functions call. */
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

/** Idle gzip inflaters: reuse saves a tenth of the time of a small member. */
const idle: Inflater[] = [];
const mostIdle = 8;

/** An inflater for one member; close it afterwards. */
export function openInflater(compression: Compression): Inflater {
  const used = compression === 'gzip' ? idle.pop() : undefined;
  used?.reset();
  return used ?? new Inflater(compression);
}

/**
 * Incremental, synchronous inflation of one member into the caller's buffers. zstd inflaters are not reused: reset() of Node's
 * zstd streams drops the window limit and does not recover from damaged input.
 *
 * node:zlib's *Sync functions inflate everything or nothing. The length of a member is not known beforehand (tar headers end
 * it), so they would inflate bombs up to a guessed limit or refuse valid members, and they allocate the output twice. The native
 * stream stops when the output is full. Node's version is pinned in package.json; member.test.ts fails if this internal
 * interface changes.
 */
class Inflater {
  readonly #compression: Compression;
  readonly #native: NativeInflate;
  /** [space left in the output, input left], set by the native code. */
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
   * Inflates from input[inputStart, inputEnd) into output[outputStart, outputEnd) until either is
   * exhausted; `inputLeft` and `outputLeft` hold the rest. Throws FormatError('member') on damaged bytes.
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

  /** Prepares for the start of a member. */
  reset(): void {
    this.#failure = undefined;
    this.#native.reset();
  }

  /** Frees the native memory at once, or keeps the inflater for another member. No call may follow. */
  close(): void {
    if (this.#compression === 'gzip' && idle.length < mostIdle) idle.push(this);
    else this.#native.close();
  }
}

export type { Inflater };
