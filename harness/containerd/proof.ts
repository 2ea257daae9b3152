import type { ContainerdClient } from './client.ts';
import type { PulledImage } from './image.ts';

/** Which layers of a pulled image were mounted lazily. */
export interface LayerProof {
  readonly layers: number;
  /** Layers whose snapshot has the remote label and whose blob is not in the content store. */
  readonly lazyLayers: number;
  /** Bottom first: those that were not pulled lazily. */
  readonly downloaded: readonly DownloadedLayer[];
}

export interface DownloadedLayer {
  /** From 1, of `count`. */
  readonly number: number;
  readonly count: number;
  /** Of its blob. */
  readonly digest: string;
  /** The name of its snapshot. */
  readonly chainId: string;
  /** Whether it was mounted lazily although its blob was downloaded. */
  readonly isMounted: boolean;
}

/** `layer 1 of 2: it was downloaded and unpacked` */
export function describeDownloaded(layer: DownloadedLayer): string {
  return `layer ${layer.number} of ${layer.count}: ${describeDownload(layer)}`;
}

export function describeDownload({ isMounted }: DownloadedLayer): string {
  return isMounted ? 'its blob was downloaded all the same' : 'it was downloaded and unpacked';
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
  const downloaded: DownloadedLayer[] = [];
  const count = image.chainIds.length;
  for (const [index, key] of image.chainIds.entries()) {
    const { digest } = image.layers[index]!;
    const { info } = await client.snapshots.stat({ snapshotter, key }, { signal });
    const isMounted = info?.labels[remoteLabel] !== undefined;
    if (isMounted && !blobs.has(digest)) continue;
    downloaded.push({ number: index + 1, count, digest, chainId: key, isMounted });
  }
  return { layers: count, lazyLayers: count - downloaded.length, downloaded };
}
