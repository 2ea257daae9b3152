import type { BlobSuffix } from './blob-source.ts';

export interface Tail {
  readonly bytes: Buffer;
  /** Of all that came. */
  readonly sizeBytes: number;
}

/** Reads to the end and keeps the last `lengthBytes`. */
export async function readTail(chunks: AsyncIterable<Buffer>, lengthBytes: number): Promise<Tail> {
  const kept: Buffer[] = [];
  let keptBytes = 0;
  let sizeBytes = 0;
  for await (const chunk of chunks) {
    kept.push(chunk);
    keptBytes += chunk.length;
    sizeBytes += chunk.length;
    while (keptBytes - kept[0]!.length >= lengthBytes) keptBytes -= kept.shift()!.length;
  }
  return { bytes: Buffer.concat(kept).subarray(-lengthBytes), sizeBytes };
}

/** Of a blob without content. */
export function emptySuffix(server: string): BlobSuffix {
  return { bytes: Buffer.alloc(0), offset: 0, blobSizeBytes: 0, servers: new Set([server]) };
}
