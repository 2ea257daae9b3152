import { hash } from 'node:crypto';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { FormatError } from './error.ts';
import { type Compression, Inflater } from './inflater.ts';

export type { Compression } from './inflater.ts';

/** No member is inflated past this. Chunks are 4 MiB by default; a file written as one chunk may be larger. */
export const MEMBER_SIZE_LIMIT_BYTES = 1 << 30;

/** Below this a member is inflated sooner on the calling thread than the thread pool could be asked to. */
export const SMALL_MEMBER_BYTES = 64 << 10;

export interface InflateOptions {
  /**
   * Inflate to the member's end and so check its CRC, where there is no digest to check against. Given up, without an
   * error, after TAIL_LIMIT_BYTES of what is not asked for.
   */
  readonly toEnd?: boolean;
}

/** More than the tar headers of any honest archive. */
export const TAIL_LIMIT_BYTES = 16 << 20;

const inflaters: { [kind in Compression]?: Inflater } = {};
let scratch: Buffer | undefined;

/**
 * The first `sizeBytes` of what the member inflates to; tar headers that follow in the same member are not inflated, so
 * a member that inflates to more than it should costs nothing. Throws FormatError('member') if it holds less.
 * On the calling thread, about 3 ms a MiB: see inflateMemberAsync for large ones.
 */
export function inflateMember(
  bytes: Uint8Array,
  compression: Compression,
  sizeBytes: number,
  options: InflateOptions = {},
): Buffer {
  checkSize(sizeBytes);
  inflaters[compression] ??= new Inflater(compression);
  const inflater = inflaters[compression];
  // Put back below: after damaged bytes a zstd stream of Node's stays unusable, whatever reset() is called.
  delete inflaters[compression];
  inflater.reset();
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
  inflaters[compression] = inflater;
  return output;
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

export interface PoolOptions extends InflateOptions {
  readonly signal?: AbortSignal;
}

/** As inflateMember, on libuv's thread pool. */
export async function inflateMemberAsync(
  bytes: Uint8Array,
  compression: Compression,
  sizeBytes: number,
  options: PoolOptions = {},
): Promise<Buffer> {
  checkSize(sizeBytes);
  const pieces: Buffer[] = [];
  let produced = 0;
  for (let consumed = 0; consumed < bytes.length && produced < sizeBytes; ) {
    const step = await inflateInPool(bytes.subarray(consumed), compression, sizeBytes - produced, options);
    pieces.push(...step.pieces);
    produced += step.produced;
    consumed += step.consumed;
    if (step.consumed === 0) break;
  }
  if (produced < sizeBytes) throw shortMember(bytes.length, produced, sizeBytes);
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, sizeBytes);
}

/** One stream of Node's: all streams of a gzip member, but only the first frame of a zstd one. */
async function inflateInPool(
  bytes: Uint8Array,
  compression: Compression,
  sizeBytes: number,
  options: PoolOptions,
): Promise<{ pieces: Buffer[]; produced: number; consumed: number }> {
  options.signal?.throwIfAborted();
  // One output buffer of the right size: the stream hands it over filled, and no copy is made.
  const chunkSize = Math.max(sizeBytes, 64);
  const stream = compression === 'gzip' ? createGunzip({ chunkSize }) : createZstdDecompress({ chunkSize });
  const abort = (): void => void stream.destroy(options.signal!.reason as Error);
  options.signal?.addEventListener('abort', abort, { once: true });
  stream.end(bytes);
  const pieces: Buffer[] = [];
  const wanted = options.toEnd === true ? sizeBytes + TAIL_LIMIT_BYTES : sizeBytes;
  let produced = 0;
  try {
    for await (const piece of stream as AsyncIterable<Buffer>) {
      if (produced < sizeBytes) pieces.push(piece.subarray(0, sizeBytes - produced));
      produced += piece.length;
      if (produced >= wanted) break;
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    const code = (error as { code?: string }).code ?? '';
    // Node's word for input that stops early. The caller sees whether enough came out before.
    if (code !== 'Z_BUF_ERROR' && code !== 'ZSTD_error_srcSize_wrong') {
      const message = `compressed bytes are damaged: ${(error as Error).message} (${code})`;
      throw new FormatError('member', message, { cause: error });
    }
  } finally {
    options.signal?.removeEventListener('abort', abort);
  }
  return { pieces, produced: Math.min(produced, sizeBytes), consumed: stream.bytesWritten };
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

/** Whether `chunk` has the sha256 in digests[digestOffset, digestOffset + 32), the layout of InodeTable.chunkDigest. */
export function isChunkIntact(chunk: Uint8Array, digests: Uint8Array, digestOffset: number): boolean {
  const actual = hash('sha256', chunk, 'buffer');
  for (let at = 0; at < 32; at++) if (actual[at] !== digests[digestOffset + at]) return false;
  return true;
}

/** Throws FormatError('digest') unless the chunk is intact. `subject` names it in the message. */
export function verifyChunk(chunk: Uint8Array, digests: Uint8Array, digestOffset: number, subject: string): void {
  if (isChunkIntact(chunk, digests, digestOffset)) return;
  const expected = Buffer.from(digests.subarray(digestOffset, digestOffset + 32)).toString('hex');
  const actual = hash('sha256', chunk, 'hex');
  throw new FormatError('digest', `${subject}: content has sha256 ${actual}, the TOC promises ${expected}`);
}
