import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DIGEST_BYTES } from '../registry/digest.ts';

/**
 * Digests of chunks for which the TOC has none, taken when they were stored: without them nothing could tell after a
 * restart whether the data file still holds what was fetched. `digests`: 32 bytes a chunk, raw SHA-256, zeros for none.
 */
export interface OwnDigests {
  note(chunk: number, digest: Uint8Array): void;
  of(chunk: number): Uint8Array | undefined;
  close(): void;
}

export function openOwnDigests(directory: string): OwnDigests {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const fd = openSync(join(directory, 'digests'), flags, 0o600);
  return {
    note(chunk, digest) {
      try {
        writeSync(fd, digest, 0, DIGEST_BYTES, chunk * DIGEST_BYTES);
      } catch {
        // A full disk: after a restart this chunk is fetched again.
      }
    },
    of(chunk) {
      const digest = Buffer.alloc(DIGEST_BYTES);
      return readSync(fd, digest, 0, DIGEST_BYTES, chunk * DIGEST_BYTES) === DIGEST_BYTES ? digest : undefined;
    },
    close: () => closeSync(fd),
  };
}

/** For a layer whose TOC has a digest for every chunk. */
export const noOwnDigests: OwnDigests = { note: () => {}, of: () => undefined, close: () => {} };
