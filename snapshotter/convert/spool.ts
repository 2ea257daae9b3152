/**
 * Decompresses a layer (gzip, zstd or none, by its magic number) into a temporary file, so that layers of any size can be
 * reordered within bounded memory.
 */
import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { isSkippableMagic, ZSTD_FRAME_MAGIC } from '../estargz/zstd-frame.ts';
import { ConvertError, malformed } from './error.ts';
import { roundUpToBlock } from '../tar/tar-fields.ts';
import { splitZstdFrames } from './zstd-frames.ts';

export type LayerCompression = 'gzip' | 'zstd' | 'none';

export interface Spool {
  readonly fd: number;
  readonly sizeBytes: number;
  readonly compression: LayerCompression;
  close(): void;
}

/** Throws ConvertError `malformed-layer` if the stream does not decompress; source errors are thrown as they are. */
export async function spoolLayer(
  source: AsyncIterable<Uint8Array>,
  workDir: string,
  signal: AbortSignal | undefined,
): Promise<Spool> {
  const path = join(workDir, 'layer.tar');
  const fd = openSync(path, 'wx+', 0o600);
  rmSync(path); // unlinked, so that a crash leaves nothing behind
  try {
    let sizeBytes = 0;
    const write = async (pieces: AsyncIterable<Uint8Array>): Promise<void> => {
      for await (const piece of pieces) {
        for (let done = 0; done < piece.length; ) done += writeSync(fd, piece, done, piece.length - done);
        sizeBytes += piece.length;
      }
    };
    const compression = await inflateLayer(source, write, signal);
    // The padding of the last file may be missing.
    ftruncateSync(fd, roundUpToBlock(sizeBytes));
    return { fd, sizeBytes, compression, close: () => closeSync(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export type Consume = (pieces: AsyncIterable<Uint8Array>) => Promise<void>;

/** The tar of a layer, however it is compressed. Throws ConvertError; source errors are thrown as they are. */
export async function inflateLayer(
  source: AsyncIterable<Uint8Array>,
  consume: Consume,
  signal: AbortSignal | undefined,
): Promise<LayerCompression> {
  const [compression, blob] = await detectCompression(source);
  await decompress(compression, blob, consume, signal);
  return compression;
}

async function decompress(
  compression: LayerCompression,
  blob: AsyncIterable<Uint8Array>,
  consume: Consume,
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  if (compression === 'none') return pipeline(Readable.from(blob), consume, options);
  const frames = compression === 'zstd' ? splitZstdFrames(blob) : blob;
  const inflater =
    compression === 'zstd' ? createZstdDecompress({ chunkSize: 256 * 1024 }) : createGunzip({ chunkSize: 256 * 1024 });
  try {
    await pipeline(Readable.from(frames), inflater, consume, options);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (/^(Z_|ZSTD_)/.test(code)) throw malformed(`its ${compression} stream is damaged (${code})`);
    throw error;
  }
}

/** The compression, by magic number, and the stream including the bytes read to detect it. */
async function detectCompression(
  source: AsyncIterable<Uint8Array>,
): Promise<[LayerCompression, AsyncIterable<Uint8Array>]> {
  const iterator = source[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  while (head.length < 4) {
    const next = await iterator.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  return [compressionOf(head), resume(head, iterator)];
}

function compressionOf(head: Buffer): LayerCompression {
  if (head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  const magic = head.length >= 4 ? head.readUInt32LE(0) : 0;
  if (magic === ZSTD_FRAME_MAGIC || isSkippableMagic(magic)) return 'zstd';
  const magics: [string, string][] = [
    ['425a68', 'bzip2'],
    ['fd377a58', 'xz'],
  ];
  const other = magics.find(([magic]) => head.toString('hex').startsWith(magic))?.[1];
  if (other === undefined) return 'none';
  throw new ConvertError(
    'unsupported-layer',
    `cannot convert the layer: it is compressed with ${other}; push the image with gzip or zstd layers`,
  );
}

async function* resume(head: Buffer, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  let finished = false;
  try {
    if (head.length > 0) yield head;
    for (;;) {
      const next = await rest.next();
      if (next.done === true) {
        finished = true;
        return;
      }
      yield next.value;
    }
  } finally {
    if (!finished) await rest.return?.();
  }
}
