import type { BlobSource } from '../../registry/blob.ts';
import type { Digest } from '../../registry/digest.ts';
import { pseudoRandomBytes, type TestBlob, type TestFile } from '../../store/testing/blob.ts';
import { type MemorySource, memorySource } from '../../store/testing/memory-source.ts';
import type { LayerRequest } from '../layer-request.ts';

export interface TestRegistry {
  readonly sources: ReadonlyMap<Digest, MemorySource>;
  blob(reference: unknown, digest: Digest, urls?: readonly string[]): BlobSource;
}

/** A registry of blobs in memory that records the requests for each. */
export function testRegistry(
  blobs: readonly { readonly digest: Digest; readonly bytes: Buffer }[],
  rttMs?: number,
): TestRegistry {
  const options = rttMs === undefined ? {} : { rttMs };
  const sources = new Map(blobs.map(({ digest, bytes }) => [digest, memorySource(bytes, { digest, ...options })]));
  return {
    sources,
    blob(_reference, digest) {
      const source = sources.get(digest);
      if (source === undefined) throw new Error(`no blob ${digest} in the test registry`);
      return source;
    },
  };
}

export function requestFor(blob: TestBlob, more: Partial<LayerRequest> = {}): LayerRequest {
  return {
    reference: 'registry.test/library/image:1',
    digest: blob.digest,
    siblings: [blob.digest],
    tocDigest: blob.tocDigest,
    skipVerify: false,
    ...more,
  };
}

export function testFiles(count: number, sizeBytes: number, seed = 0): TestFile[] {
  return Array.from({ length: count }, (_, at) => ({
    name: `dir${at % 3}/f${String(at).padStart(4, '0')}`,
    content: pseudoRandomBytes(sizeBytes, seed + at),
  }));
}
