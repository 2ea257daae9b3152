import { planImage } from '../../snapshotter/convert/image-plan.ts';
import type { ImageSource, ImageTarget } from '../../snapshotter/images/image.ts';
import type { Digest } from '../../snapshotter/registry/digest.ts';
import { type Descriptor, hostPlatform, mediaTypes } from '../../snapshotter/registry/manifest.ts';

/** Docker's media types and what OCI calls the same bytes. */
const ociTypes: ReadonlyMap<string, string> = new Map([
  [mediaTypes.dockerConfig, mediaTypes.ociConfig],
  [mediaTypes.dockerLayerGzip, mediaTypes.ociLayerGzip],
]);

export interface CopyRequest {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  /** Added to the manifest. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly onLayer: (index: number, count: number) => void;
  /** Instead of byte for byte; resolves with what the copy's manifest says of the layer, whose content stays the same. */
  readonly copyLayer?: (layer: Descriptor) => Promise<Descriptor>;
}

/**
 * Copies the image for this machine's platform, blobs byte for byte, under an OCI manifest; the target is tagged last. What
 * the target has is not sent again, so an interrupted copy goes on where it stopped.
 */
export async function copyImage(
  { source, target, annotations = {}, onLayer, copyLayer }: CopyRequest,
  signal: AbortSignal,
): Promise<Digest> {
  const copyWhole = async (layer: Descriptor): Promise<Descriptor> => {
    await copyBlob(source, target, layer, signal);
    return asOci(layer);
  };
  const { manifest } = await planImage({ source, signal }, hostPlatform());
  const layers: Descriptor[] = [];
  for (const [index, layer] of manifest.layers.entries()) {
    onLayer(index, manifest.layers.length);
    layers.push(await (copyLayer ?? copyWhole)(layer));
  }
  await copyBlob(source, target, manifest.config, signal);
  const mediaType = mediaTypes.ociManifest;
  const copied = {
    ...manifest,
    mediaType,
    config: asOci(manifest.config),
    layers,
    annotations: { ...manifest.annotations, ...annotations },
  };
  return await target.tag(mediaType, Buffer.from(JSON.stringify(copied)), signal);
}

export async function copyBlob(
  source: ImageSource,
  target: ImageTarget,
  blob: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  const { digest, size: sizeBytes } = blob;
  if (await target.hasBlob(digest, signal)) return;
  await target.pushBlob({ digest, sizeBytes, open: () => source.fetchBlob(blob, signal) }, signal);
}

export function asOci(descriptor: Descriptor): Descriptor {
  return { ...descriptor, mediaType: ociTypes.get(descriptor.mediaType) ?? descriptor.mediaType };
}
