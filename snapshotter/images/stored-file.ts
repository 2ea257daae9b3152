/** Files of an image layout, in a directory or in a tar. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digester, digestHex } from '../registry/digest.ts';
import { ImageError } from './error.ts';

/** Bytes [offset, offset + sizeBytes) of a file on disk. */
export interface StoredFile {
  readonly path: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface FileTree {
  /** For messages. */
  readonly name: string;
  /** By a path relative to the root without `..`; undefined if there is no such regular file. */
  find(path: string): Promise<StoredFile | undefined>;
}

/** The file of a blob in an OCI image layout (image-spec, "Image Layout"). */
export function blobPath(digest: Digest): string {
  return `blobs/sha256/${digestHex(digest)}`;
}

export function directoryTree(directory: string, name: string): FileTree {
  return {
    name,
    find: async (path) => {
      const full = join(directory, path);
      try {
        const found = await stat(full);
        return found.isFile() ? { path: full, offset: 0, sizeBytes: found.size } : undefined;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
        throw error;
      }
    },
  };
}

/** Bytes [start, end) of the file, at most to its end. */
export function rangeOf({ path, offset, sizeBytes }: StoredFile, start: number, end: number): StoredFile {
  return { path, offset: offset + start, sizeBytes: Math.min(end, sizeBytes) - start };
}

export function readPieces({ path, offset, sizeBytes }: StoredFile, signal?: AbortSignal): AsyncIterable<Buffer> {
  if (sizeBytes === 0) return noPieces();
  const options = { start: offset, end: offset + sizeBytes - 1, highWaterMark: 1 << 20 };
  return createReadStream(path, signal === undefined ? options : { ...options, signal });
}

async function* noPieces(): AsyncGenerator<Buffer, void, void> {}

/** Throws ImageError `malformed` beyond the limit. */
export async function readWhole(file: StoredFile, limitBytes: number, what: string): Promise<Buffer> {
  if (file.sizeBytes > limitBytes) {
    throw new ImageError('malformed', `cannot read ${what}: it has ${file.sizeBytes} bytes, over ${limitBytes}`);
  }
  const pieces: Buffer[] = [];
  for await (const piece of readPieces(file)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Passes the pieces on; throws ImageError `digest-mismatch` at the end if they are not those of the digest. */
export async function* verifyPieces(
  pieces: AsyncIterable<Uint8Array>,
  digest: Digest,
  name: string,
): AsyncGenerator<Buffer, void, void> {
  const state = digester();
  for await (const piece of pieces) {
    state.update(piece);
    yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  }
  if (state.digest() === digest) return;
  const detail = `blob ${digest} has other content (${state.digest()}); copy the image again`;
  throw new ImageError('digest-mismatch', `${name} is damaged: ${detail}`);
}
