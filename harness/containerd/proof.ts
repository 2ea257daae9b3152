import type { ContainerdClient } from './client.ts';
import type { PulledImage } from './image.ts';

/** Which layers of a pulled image were mounted lazily. */
export interface LayerProof {
  readonly layers: number;
  /** Layers whose snapshot has the remote label and whose blob is not in the content store. */
  readonly lazyLayers: number;
  /** One line for each layer that was not pulled lazily. */
  readonly downloaded: readonly string[];
}

/** Set by a remote snapshotter on the snapshot of a layer that it serves. */
const remoteLabel = 'containerd.io/snapshot/remote';

/** Checks the label of each layer's snapshot, and the content store for its blob. */
export async function proveLayers(
  client: ContainerdClient,
  snapshotter: string,
  image: PulledImage,
  signal: AbortSignal,
): Promise<LayerProof> {
  const blobs = new Set<string>();
  for await (const { info } of client.content.list({ filters: [] }, { signal })) {
    for (const blob of info) blobs.add(blob.digest);
  }
  const downloaded: string[] = [];
  for (const [index, key] of image.chainIds.entries()) {
    const layer = image.layers[index]!;
    const { info } = await client.snapshots.stat({ snapshotter, key }, { signal });
    const isRemote = info?.labels[remoteLabel] !== undefined;
    if (isRemote && !blobs.has(layer.digest)) continue;
    const why = isRemote ? 'its blob was downloaded all the same' : 'it was downloaded and unpacked';
    downloaded.push(`layer ${index + 1} of ${image.chainIds.length}: ${why}`);
  }
  return { layers: image.chainIds.length, lazyLayers: image.chainIds.length - downloaded.length, downloaded };
}
