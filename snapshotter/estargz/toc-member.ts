import { createHash } from 'node:crypto';
import type { Digest } from '../registry/digest.ts';
import { FormatError } from './error.ts';
import type { Footer } from './footer.ts';
import { DEFLATE_RATIO_LIMIT, type Inflater, openInflater } from './inflater.ts';
import type { ByteSource } from './json-scanner.ts';
import { TOC_NAME } from './names.ts';

/** Limit of a TOC's inflated size: about 1.7 million entries as the reference implementation writes them. */
const maxJsonBytes = 512 << 20;

const tarBlockBytes = 512;
const paxHeaderLimitBytes = 1 << 20;

/**
 * Streams the JSON of a TOC, so that a large one is never in memory as a whole. Pass it to `buildInodeTable`, then
 * compare `digest()` with the expected digest before using the table.
 */
export class TocReader implements ByteSource {
  /** Bytes of JSON. */
  readonly sizeBytes: number;
  readonly #bytes: Uint8Array;
  readonly #inflater: Inflater;
  readonly #hash = createHash('sha256');
  #consumed = 0;
  #left: number;
  #digest: Digest | undefined;

  /** `bytes`: [footer.tocOffset, footer.tocEnd) of the blob. */
  constructor(bytes: Uint8Array, footer: Footer) {
    this.#bytes = bytes;
    this.#inflater = openInflater(footer.compression);
    const sizeBytes = footer.compression === 'gzip' ? this.#readTarHeader() : footer.tocRawSizeBytes!;
    if (sizeBytes > maxJsonBytes) {
      throw new FormatError('limit', `a TOC of ${sizeBytes} bytes; the limit is ${maxJsonBytes}`);
    }
    if (footer.compression === 'gzip' && sizeBytes > bytes.length * DEFLATE_RATIO_LIMIT) {
      throw new FormatError(
        'toc',
        `${bytes.length} compressed bytes cannot hold the ${sizeBytes} its tar header promises`,
      );
    }
    this.sizeBytes = sizeBytes;
    this.#left = sizeBytes;
  }

  /** Fills into[at, into.length) unless the JSON ends first. Returns the count of bytes written, 0 at the end. */
  read(into: Uint8Array, at: number): number {
    const wanted = Math.min(this.#left, into.length - at);
    if (wanted === 0) return 0;
    this.#fill(into, at, at + wanted);
    this.#hash.update(into.subarray(at, at + wanted));
    this.#left -= wanted;
    return wanted;
  }

  /** sha256 of the whole JSON, including what has not been read yet. Closes the inflater. */
  digest(): Digest {
    if (this.#digest !== undefined) return this.#digest;
    const rest = this.#left > 0 ? Buffer.allocUnsafe(Math.min(this.#left, 64 << 10)) : undefined;
    while (this.#left > 0) this.read(rest!, 0);
    this.#inflater.close();
    this.#digest = `sha256:${this.#hash.digest('hex')}` as Digest;
    return this.#digest;
  }

  #fill(into: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; ) {
      this.#inflate(into, at, end);
      const next = end - this.#inflater.outputLeft;
      const consumed = this.#bytes.length - this.#inflater.inputLeft;
      if (next === at && consumed === this.#consumed) throw new FormatError('toc', 'the compressed TOC ends too early');
      this.#consumed = consumed;
      at = next;
    }
  }

  #inflate(into: Uint8Array, start: number, end: number): void {
    try {
      this.#inflater.inflate(this.#bytes, this.#consumed, this.#bytes.length, into, start, end);
    } catch (cause) {
      throw new FormatError('toc', `the TOC does not inflate: ${(cause as Error).message}`, { cause });
    }
  }

  /** Reads the tar header of stargz.index.json, skipping pax headers before it, and returns the file's size. */
  #readTarHeader(): number {
    const block = Buffer.alloc(tarBlockBytes);
    for (;;) {
      this.#fill(block, 0, tarBlockBytes);
      checkTarSum(block);
      const sizeBytes = parseOctal(block, 124, 12);
      const type = String.fromCharCode(block[156]!);
      if (type === 'x' || type === 'g') {
        if (sizeBytes > paxHeaderLimitBytes)
          throw new FormatError('toc', `a pax header of ${sizeBytes} bytes before the TOC`);
        const padded = Math.ceil(sizeBytes / tarBlockBytes) * tarBlockBytes;
        this.#fill(Buffer.allocUnsafe(padded), 0, padded);
        continue;
      }
      const name = block.toString('latin1', 0, 100).replace(/\0.*$/s, '');
      if (name !== TOC_NAME || (type !== '0' && type !== '\0')) {
        throw new FormatError('toc', `the TOC's tar entry is ${JSON.stringify(name)}, not ${TOC_NAME}`);
      }
      return sizeBytes;
    }
  }
}

/** Reads the whole raw JSON, for a TOC known to be small. `bytes`: [footer.tocOffset, footer.tocEnd) of the blob. */
export function readWholeToc(bytes: Uint8Array, footer: Footer): Buffer {
  const reader = new TocReader(bytes, footer);
  const json = Buffer.allocUnsafeSlow(reader.sizeBytes);
  let at = 0;
  for (let count = reader.read(json, at); count > 0; count = reader.read(json, at)) at += count;
  return json;
}

/** The checksum is the sum of the header's bytes, with the checksum field itself counted as spaces (POSIX ustar). */
function checkTarSum(block: Buffer): void {
  let sum = 0;
  for (let at = 0; at < tarBlockBytes; at++) sum += at >= 148 && at < 156 ? 0x20 : block[at]!;
  if (sum !== parseOctal(block, 148, 8)) throw new FormatError('toc', "the TOC's tar header has a wrong checksum");
}

function parseOctal(block: Buffer, offset: number, length: number): number {
  const text = block
    .toString('latin1', offset, offset + length)
    .replace(/[\0 ]+$/, '')
    .trimStart();
  if (!/^[0-7]+$/.test(text)) throw new FormatError('toc', "the TOC's tar header holds a malformed number");
  return Number.parseInt(text, 8);
}
