import { gzipSync } from 'node:zlib';
import type { RegistryClient } from '../../registry/client.ts';
import { type Digest, digestOf } from '../../registry/digest.ts';
import { mediaTypes } from '../../registry/manifest.ts';
import type { Reference } from '../../registry/reference.ts';

/** Pushes a Docker image of these tars, gzipped, as `docker push` would; answers its manifest digest. */
export async function pushDockerImage(
  client: RegistryClient,
  reference: Reference,
  tars: readonly Buffer[],
  options: { readonly architecture?: string; readonly tagged?: boolean } = {},
): Promise<{ digest: Digest; size: number; layers: Digest[] }> {
  const signal = AbortSignal.timeout(60_000);
  const push = (bytes: Buffer): Promise<PushedBytes> => pushBytes(client, reference, bytes);
  const layers = [];
  for (const tar of tars) layers.push({ mediaType: mediaTypes.dockerLayerGzip, ...(await push(gzipSync(tar))) });
  const config = {
    architecture: options.architecture ?? 'amd64',
    os: 'linux',
    'org.example.unknown': 'kept',
    config: { Cmd: ['/bin/true'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: tars.map((tar) => digestOf(tar)) },
    history: tars.map((_, index) => ({ created_by: `step ${index}` })),
  };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: { mediaType: mediaTypes.dockerConfig, ...(await push(Buffer.from(JSON.stringify(config)))) },
      layers,
    }),
  );
  const digest = digestOf(manifest);
  const { registry, repository } = reference;
  const name = options.tagged === false ? { registry, repository, digest } : reference;
  await client.pushManifest(name, mediaTypes.dockerManifest, manifest, signal);
  return { digest, size: manifest.length, layers: layers.map((layer) => layer.digest) };
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
