import { gzipSync } from 'node:zlib';
import { type Digest, digestOf } from '../../registry/digest.ts';
import { mediaTypes } from '../../registry/manifest.ts';
import type { ImageTarget } from '../image.ts';
import { layoutTarget } from '../layout-target.ts';

export interface LayoutImage {
  readonly platform?: { readonly os: string; readonly architecture: string };
  /** Fields of the image's configuration. */
  readonly configuration?: Readonly<Record<string, unknown>>;
}

/** Writes an image with these tars as gzipped layers into an OCI image layout; returns the layers' digests. */
export async function writeLayoutImage(
  directory: string,
  tars: readonly Buffer[],
  { platform = { os: 'linux', architecture: 'amd64' }, configuration = {} }: LayoutImage = {},
): Promise<Digest[]> {
  const target = layoutTarget(directory, undefined, directory);
  const layers = tars.map((tar) => gzipSync(tar));
  const rootfs = { type: 'layers', diff_ids: tars.map(digestOf) };
  const config = Buffer.from(JSON.stringify({ ...platform, config: {}, history: [], rootfs, ...configuration }));
  for (const bytes of [...layers, config]) await push(target, bytes);
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
    layers: layers.map((bytes) => ({
      mediaType: mediaTypes.ociLayerGzip,
      digest: digestOf(bytes),
      size: bytes.length,
    })),
  };
  await target.tag(mediaTypes.ociManifest, Buffer.from(JSON.stringify(manifest)), AbortSignal.timeout(60_000));
  return layers.map(digestOf);
}

async function push(target: ImageTarget, bytes: Buffer): Promise<void> {
  const open = async function* (): AsyncGenerator<Buffer> {
    yield bytes;
  };
  await target.pushBlob({ digest: digestOf(bytes), sizeBytes: bytes.length, open }, AbortSignal.timeout(60_000));
}
