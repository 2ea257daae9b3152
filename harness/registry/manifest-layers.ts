import type { RegistryClient } from '../../snapshotter/registry/client.ts';
import { type Descriptor, parseManifest, pickPlatform } from '../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';

/**
 * The layers of an image for this machine's platform; undefined where it has none. Pulls a manifest, or an index and a
 * manifest.
 */
export async function readLayers(
  client: RegistryClient,
  image: string,
  signal: AbortSignal,
): Promise<readonly Descriptor[] | undefined> {
  const reference = parseReference(image);
  const { bytes, mediaType } = await client.fetchManifest(reference, signal);
  const parsed = parseManifest(bytes, mediaType);
  if (parsed.kind === 'manifest') return parsed.manifest.layers;
  const own = pickPlatform(parsed.index);
  if (own === undefined) return undefined;
  const { registry, repository } = reference;
  const inner = await client.fetchManifest({ registry, repository, digest: own.digest }, signal);
  const found = parseManifest(inner.bytes, inner.mediaType);
  return found.kind === 'manifest' ? found.manifest.layers : undefined;
}
