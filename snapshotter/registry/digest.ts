import { createHash, hash } from 'node:crypto';

/** A content digest, `sha256:` and 64 lower-case hex digits (OCI image-spec, "Digests"; only sha256 is taken). */
export type Digest = `sha256:${string}` & { readonly __brand: 'Digest' };

/** Of a raw sha256. */
export const DIGEST_BYTES = 32;

const pattern = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return pattern.test(text);
}

/** Throws TypeError unless `text` is a well-formed sha256 digest. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new TypeError(`not a sha256 digest: ${JSON.stringify(text.slice(0, 80))}`);
  return text;
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${hash('sha256', bytes, 'hex')}` as Digest;
}

/** Of zero bytes. */
export const EMPTY_DIGEST = digestOf('');

/** The 64 hex digits: the name of a file or directory kept for this digest. */
export function digestHex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

/** Digest of a stream; `digest()` is that of the pieces so far. */
export function digester(): { update(bytes: Uint8Array): void; digest(): Digest } {
  const state = createHash('sha256');
  return {
    update: (bytes) => void state.update(bytes),
    digest: () => `sha256:${state.copy().digest('hex')}` as Digest,
  };
}
