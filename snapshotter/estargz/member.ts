import { hash } from 'node:crypto';
import { FormatError } from './error.ts';
import { type Compression, type Inflater, openInflater } from './inflater.ts';

export type { Compression } from './inflater.ts';

/** Limit of an inflated member. Chunks are 4 MiB by default, but a converter may write a large file as one chunk. */
export const MEMBER_SIZE_LIMIT_BYTES = 1 << 30;

export interface InflateOptions {
  /**
   * Inflate to the member's end to check its CRC, for chunks without a digest. Stops without an error after
   * TAIL_LIMIT_BYTES beyond the requested bytes.
   */
  readonly toEnd?: boolean;
  /** Where to, if it is large enough; else into a new buffer. */
  readonly output?: Buffer;
}

/** More than the tar headers that follow a file's content in any real archive. */
export const TAIL_LIMIT_BYTES = 16 << 20;

let scratch: Buffer | undefined;

/**
 * Returns the first `sizeBytes` of the inflated member. The rest, normally tar headers, is not inflated, so a
 * decompression bomb costs nothing. Throws FormatError('member') if the member is shorter or corrupt. Runs on the calling
 * thread, at about 3 ms per MiB.
 */
export function inflateMember(
  bytes: Uint8Array,
  compression: Compression,
  sizeBytes: number,
  options: InflateOptions = {},
): Buffer {
  checkSize(sizeBytes);
  const inflater = openInflater(compression);
  try {
    const output = outputFor(sizeBytes, options.output);
    let consumed = 0;
    let produced = 0;
    while (produced < sizeBytes) {
      inflater.inflate(bytes, consumed, bytes.length, output, produced, sizeBytes);
      const nextProduced = sizeBytes - inflater.outputLeft;
      const nextConsumed = bytes.length - inflater.inputLeft;
      if (nextProduced === produced && nextConsumed === consumed) throw shortMember(bytes.length, produced, sizeBytes);
      produced = nextProduced;
      consumed = nextConsumed;
    }
    if (options.toEnd === true) inflateTail(inflater, bytes, consumed);
    return output;
  } finally {
    inflater.close();
  }
}

function outputFor(sizeBytes: number, output: Buffer | undefined): Buffer {
  if (output === undefined || output.length < sizeBytes) return Buffer.allocUnsafeSlow(sizeBytes);
  return output.subarray(0, sizeBytes);
}

/** Throws FormatError('member') on a wrong CRC. */
function inflateTail(inflater: Inflater, bytes: Uint8Array, start: number): void {
  scratch ??= Buffer.allocUnsafeSlow(64 << 10);
  let consumed = start;
  let tailBytes = 0;
  while (tailBytes < TAIL_LIMIT_BYTES) {
    inflater.inflate(bytes, consumed, bytes.length, scratch, 0, scratch.length);
    const produced = scratch.length - inflater.outputLeft;
    const nextConsumed = bytes.length - inflater.inputLeft;
    if (produced === 0 && nextConsumed === consumed) return;
    tailBytes += produced;
    consumed = nextConsumed;
  }
}

function shortMember(memberBytes: number, produced: number, sizeBytes: number): FormatError {
  return new FormatError(
    'member',
    `${memberBytes} compressed bytes inflate to ${produced}, not the ${sizeBytes} the TOC promises`,
  );
}

function checkSize(sizeBytes: number): void {
  if (Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 && sizeBytes <= MEMBER_SIZE_LIMIT_BYTES) return;
  throw new FormatError('limit', `a member of ${sizeBytes} inflated bytes; the limit is ${MEMBER_SIZE_LIMIT_BYTES}`);
}

/** `digest`: the raw sha256. */
export function isChunkIntact(chunk: Uint8Array, digest: Uint8Array): boolean {
  return hash('sha256', chunk, 'buffer').equals(digest);
}
