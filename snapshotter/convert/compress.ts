import { createGzip, createZstdCompress, constants as zlibConstants } from 'node:zlib';

export type MemberCodec = 'gzip' | 'zstd';

/** What a zlib stream of Node carries inside: the same calls its own *Sync functions make. */
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
 * Compresses members one after another with one native state, into buffers of the caller's choice. node:zlib's own
 * functions set up a state, a stream object and an output buffer for each: for layers of small files that took as long
 * again as the compression. Node's version is pinned; compress.test.ts fails if this inner interface ever changes.
 */
export class MemberCompressor {
  readonly #native: NativeDeflate;
  /** [room left in the output, input left], written by the native side. */
  readonly #left: Uint32Array;
  readonly #finish: number;
  #failure: string | undefined;

  constructor(codec: MemberCodec, level: number) {
    // memLevel 9: 10 % faster than 8 for 0.5 % of size at most, measured on /usr.
    const stream = (codec === 'gzip'
      ? createGzip({ level, memLevel: 9 })
      : createZstdCompress({ params: { [zlibConstants.ZSTD_c_compressionLevel]: level } })) as unknown as {
      _handle: NativeDeflate;
      _writeState: Uint32Array;
    };
    this.#finish = codec === 'gzip' ? zlibConstants.Z_FINISH : zlibConstants.ZSTD_e_end;
    this.#native = stream._handle;
    this.#left = stream._writeState;
    this.#native.onerror = (message, _errno, code) => {
      this.#failure = `${message} (${code})`;
    };
  }

  /** Writes one member to the start of `output`, which must hold `boundOf(input.length)`; answers its length. */
  compress(input: Uint8Array, output: Uint8Array): number {
    this.#failure = undefined;
    this.#native.reset();
    this.#native.writeSync(this.#finish, input, 0, input.length, output, 0, output.length);
    const [outputLeft = 0, inputLeft = 0] = this.#left;
    if (this.#failure !== undefined || inputLeft > 0 || outputLeft === 0) {
      throw new Error(`compressing ${input.length} bytes failed: ${this.#failure ?? 'the output is full'}`);
    }
    return output.length - outputLeft;
  }
}

/** More than deflate (RFC 1951, stored blocks) or zstd can grow an input to, frame included. */
export function boundOf(sizeBytes: number): number {
  return sizeBytes + (sizeBytes >>> 8) + 256;
}
