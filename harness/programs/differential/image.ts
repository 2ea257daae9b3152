import { type Digest, digestOf } from '../../../snapshotter/registry/digest.ts';
import {
  type Descriptor,
  hostPlatform,
  mediaTypes,
  parseImageConfig,
  parseManifest,
} from '../../../snapshotter/registry/manifest.ts';
import { chainIds } from '../../containerd/chain-id.ts';
import { compressTar, encodeTar } from './layer-tar.ts';
import type { MemoryRegistry } from './memory-registry.ts';
import type { Stack } from './stack.ts';

/** An image in the registry, and what its pull will name. */
export interface RegistryImage {
  readonly repository: string;
  readonly tag: string;
  /** Full, as containerd is asked for it. */
  readonly reference: string;
  readonly manifestDigest: Digest;
  readonly layers: readonly Descriptor[];
  readonly chainIds: readonly Digest[];
}

export interface ImageLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
}

export async function pushStack(
  registry: MemoryRegistry,
  repository: string,
  tag: string,
  stack: Stack,
): Promise<RegistryImage> {
  return pushImage(registry, repository, tag, await pushLayers(registry, stack));
}

export async function pushLayers(registry: MemoryRegistry, stack: Stack): Promise<ImageLayer[]> {
  return Promise.all(
    stack.layers.map(async (layer) => {
      const tar = encodeTar(layer);
      const { mediaType, bytes } = await compressTar(tar, layer.compression);
      const descriptor = { mediaType, digest: registry.addBlob(bytes), size: bytes.length };
      return { descriptor, diffId: digestOf(tar) };
    }),
  );
}

export function pushImage(
  registry: MemoryRegistry,
  repository: string,
  tag: string,
  layers: readonly ImageLayer[],
): RegistryImage {
  const config = encode({
    ...hostPlatform(),
    config: { Cmd: ['/none'] },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const manifest = encode({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: registry.addBlob(config), size: config.length },
    layers: layers.map(({ descriptor }) => descriptor),
  });
  registry.addManifest(repository, tag, mediaTypes.ociManifest, manifest);
  return readImage(registry, repository, tag);
}

export function readImage(registry: MemoryRegistry, repository: string, tag: string): RegistryImage {
  const found = registry.manifest(repository, tag);
  if (found === undefined) throw new Error(`the registry has no ${repository}:${tag}`);
  const parsed = parseManifest(found.bytes, found.mediaType);
  if (parsed.kind !== 'manifest') throw new Error(`${repository}:${tag} is an index`);
  const { config, layers } = parsed.manifest;
  return {
    repository,
    tag,
    reference: `${registry.address}/${repository}:${tag}`,
    manifestDigest: digestOf(found.bytes),
    layers,
    chainIds: chainIds(parseImageConfig(registry.blob(config.digest)!).rootfs.diff_ids),
  };
}

function encode(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
