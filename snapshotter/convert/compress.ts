import { createGzip, createZstdCompress, constants as zlibConstants } from 'node:zlib';

export type MemberCodec = 'gzip' | 'zstd';

/** The native handle of a Node zlib stream, which node:zlib's own *Sync functions call. */
interface NativeDeflate {
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
}

/**
 * Compresses members into the caller's buffers and reuses one native state. node:zlib's functions create a state, a stream
 * object and an output buffer per call, which doubled the time for layers of small files. Node's version is pinned;
 * compress.test.ts fails if this internal interface changes.
 */
export class MemberCompressor {
  readonly #codec: MemberCodec;
  readonly #level: number;
  readonly #finish: number;
  #native!: NativeDeflate;
  /** [space left in the output, input left], set by the native code. */
  #left!: Uint32Array;
  #failure: string | undefined;

  constructor(codec: MemberCodec, level: number) {
    this.#codec = codec;
    this.#level = level;
    this.#finish = codec === 'gzip' ? zlibConstants.Z_FINISH : zlibConstants.ZSTD_e_end;
    this.#open();
  }

  /** Writes one member to the start of `output`, which must hold `boundOf(input.length)` bytes; returns its length. */
  compress(input: Uint8Array, output: Uint8Array): number {
    // A zstd frame that has ended leaves its state ready for the next; Node's reset would restore the default level.
    if (this.#codec === 'gzip') this.#native.reset();
    this.#native.writeSync(this.#finish, input, 0, input.length, output, 0, output.length);
    const [outputLeft = 0, inputLeft = 0] = this.#left;
    if (this.#failure !== undefined || inputLeft > 0 || outputLeft === 0) {
      const reason = this.#failure ?? 'the output is full';
      this.#open();
      throw new Error(`compressing ${input.length} bytes failed: ${reason}`);
    }
    return output.length - outputLeft;
  }

  #open(): void {
    const level = this.#level;
    // memLevel 9: 10 % faster than 8 for at most 0.5 % more bytes, measured on /usr.
    const stream = (this.#codec === 'gzip'
      ? createGzip({ level, memLevel: 9 })
      : createZstdCompress({ params: { [zlibConstants.ZSTD_c_compressionLevel]: level } })) as unknown as {
      _handle: NativeDeflate;
      _writeState: Uint32Array;
    };
    this.#failure = undefined;
    this.#native = stream._handle;
    this.#left = stream._writeState;
    this.#native.onerror = (message, _errno, code) => {
      this.#failure = `${message} (${code})`;
    };
  }
}

/** Upper bound of the output of deflate (RFC 1951, stored blocks) and zstd, frame included. */
export function boundOf(sizeBytes: number): number {
  return sizeBytes + (sizeBytes >>> 8) + 256;
}
