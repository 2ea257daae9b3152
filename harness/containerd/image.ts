import type { ServiceClient } from '../../snapshotter/api/client.ts';
import type { Services } from '../../snapshotter/api/types/services.ts';
import { type Digest, parseDigest } from '../../snapshotter/registry/digest.ts';
import {
  type Descriptor,
  type ImageConfig,
  mediaTypes,
  parseImageConfig,
  parseManifest,
  pickPlatform,
} from '../../snapshotter/registry/manifest.ts';
import { HarnessError } from '../cli/error.ts';
import { chainIds } from './chain-id.ts';
import type { RunConfig } from './oci-spec.ts';

/** A pulled image, as containerd's stores describe it. */
export interface PulledImage {
  readonly reference: string;
  readonly layers: readonly Descriptor[];
  /** Names of the layers' snapshots, bottom first. */
  readonly chainIds: readonly Digest[];
  readonly runConfig: RunConfig;
  /** The sum of the compressed sizes of the layers. */
  readonly sizeBytes: number;
}

export interface ImageStores {
  readonly images: ServiceClient<Services['containerd.services.images.v1.Images']>;
  readonly content: ServiceClient<Services['containerd.services.content.v1.Content']>;
}

export async function readPulledImage(
  stores: ImageStores,
  reference: string,
  signal: AbortSignal,
): Promise<PulledImage> {
  const { image } = await stores.images.get({ name: reference }, { signal });
  if (image?.target == null) throw new HarnessError('unsupported-image', `containerd does not know ${reference}`);
  const manifest = await readManifest(stores, reference, image.target.digest, image.target.mediaType, signal);
  const config: ImageConfig = parseImageConfig(await readContent(stores, manifest.config.digest, signal));
  return {
    reference,
    layers: manifest.layers,
    chainIds: chainIds(config.rootfs.diff_ids),
    runConfig: (config.config ?? {}) as RunConfig,
    sizeBytes: manifest.layers.reduce((sum, layer) => sum + layer.size, 0),
  };
}

async function readManifest(
  stores: ImageStores,
  reference: string,
  digest: string,
  mediaType: string,
  signal: AbortSignal,
) {
  const parsed = parseManifest(await readContent(stores, parseDigest(digest), signal), mediaType);
  if (parsed.kind === 'manifest') return parsed.manifest;
  const own = pickPlatform(parsed.index);
  if (own === undefined) throw new HarnessError('unsupported-image', `${reference} has no image for this platform`);
  const inner = parseManifest(await readContent(stores, own.digest, signal), mediaTypes.ociManifest);
  if (inner.kind === 'manifest') return inner.manifest;
  throw new HarnessError('unsupported-image', `${reference} is an index of an index`);
}

async function readContent({ content }: ImageStores, digest: Digest, signal: AbortSignal): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const { data } of content.read({ digest, offset: 0, size: 0 }, { signal })) pieces.push(data);
  return Buffer.concat(pieces);
}
