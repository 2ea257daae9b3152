import type { RegistryBlob } from './blob.ts';
import { RegistryError } from './error.ts';

/**
 * The whole blob in memory, from the first server whose bytes have the digest and are at most `limitBytes`. Throws
 * `digest-mismatch` or `too-large` once all have failed.
 */
export async function readVerified(blob: RegistryBlob, limitBytes: number, signal: AbortSignal): Promise<Buffer> {
  const blamed = new Set<string>();
  for (;;) {
    const servers = new Set<string>();
    const pieces: Buffer[] = [];
    let sizeBytes = 0;
    try {
      for await (const piece of blob.fetchWhole(signal, (server) => servers.add(server))) {
        sizeBytes += piece.length;
        if (sizeBytes > limitBytes) throw tooLarge(blob, limitBytes, servers);
        pieces.push(piece);
      }
      return Buffer.concat(pieces, sizeBytes);
    } catch (error) {
      const isContent =
        error instanceof RegistryError && (error.code === 'digest-mismatch' || error.code === 'too-large');
      const who = [...servers].join(', ');
      if (!isContent || blamed.has(who)) throw error;
      blamed.add(who);
    }
  }
}

function tooLarge(blob: RegistryBlob, limitBytes: number, servers: ReadonlySet<string>): RegistryError {
  blob.distrust(servers);
  const fields = { operation: blob.operation, host: [...servers].join(', ') };
  return new RegistryError('too-large', `more than ${limitBytes} bytes`, fields);
}
