import { pushImage } from '../../../harness/images/synthetic-image.ts';
import type { RegistryClient } from '../../registry/client.ts';
import { type Digest, digestOf } from '../../registry/digest.ts';
import { formatReference, type Reference } from '../../registry/reference.ts';

/** Pushes a Docker image with these tars as gzipped layers, as `docker push` would. */
export async function pushDockerImage(
  client: RegistryClient,
  reference: Reference,
  tars: readonly Buffer[],
  { architecture = 'amd64', tagged = true }: { readonly architecture?: string; readonly tagged?: boolean } = {},
): Promise<{ digest: Digest; size: number; layers: readonly Digest[] }> {
  const { digest, sizeBytes, layers } = await pushImage(
    client,
    {
      reference: formatReference(reference),
      layers: tars,
      mediaTypes: 'docker',
      isTagged: tagged,
      configuration: {
        architecture,
        'org.example.unknown': 'kept',
        config: { Cmd: ['/bin/true'], Env: ['PATH=/bin'] },
        history: tars.map((_, index) => ({ created_by: `step ${index}` })),
      },
    },
    AbortSignal.timeout(60_000),
  );
  return { digest, size: sizeBytes, layers };
}

export interface PushedBytes {
  readonly digest: Digest;
  readonly size: number;
}

export async function pushBytes(client: RegistryClient, reference: Reference, bytes: Buffer): Promise<PushedBytes> {
  const digest = digestOf(bytes);
  const open = (): AsyncIterable<Uint8Array> => pieces(bytes);
  await client.pushBlob(reference, { digest, sizeBytes: bytes.length, open }, AbortSignal.timeout(60_000));
  return { digest, size: bytes.length };
}

export async function* pieces(bytes: Buffer, sizeBytes = 65_536): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += sizeBytes) yield bytes.subarray(at, at + sizeBytes);
}
