import { hash } from 'node:crypto';
import { FormatError } from './error.ts';
import { type Compression, type Inflater, openInflater } from './inflater.ts';

export type { Compression } from './inflater.ts';

/** Limit of what is inflated of a member. Chunks are 4 MiB by default; a file written as one chunk may be larger. */
export const MEMBER_SIZE_LIMIT_BYTES = 1 << 30;

export interface InflateOptions {
  /**
   * Inflate to the end of the member to check its CRC, if there is no digest. Stops without an error TAIL_LIMIT_BYTES
   * after the requested bytes.
   */
  readonly toEnd?: boolean;
}

/** More than the tar headers of any valid archive. */
export const TAIL_LIMIT_BYTES = 16 << 20;

let scratch: Buffer | undefined;

/**
 * Inflates the first `sizeBytes` of a member, and nothing beyond, so that a bomb costs nothing. Throws FormatError('member') if
 * it holds less. Runs on the calling thread, about 3 ms per MiB.
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
    const output = Buffer.allocUnsafeSlow(sizeBytes);
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

/** A wrong CRC at the end of a gzip member surfaces here as FormatError('member'). */
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
  throw new FormatError(
    'limit',
    `a member of ${sizeBytes} inflated bytes; at most ${MEMBER_SIZE_LIMIT_BYTES} are taken`,
  );
}

/** Whether `chunk` has this sha256. */
export function isChunkIntact(chunk: Uint8Array, digest: Uint8Array): boolean {
  return hash('sha256', chunk, 'buffer').equals(digest);
}
