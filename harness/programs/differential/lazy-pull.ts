import { openClient, RpcError, type ServiceClient } from '../../../snapshotter/api/client.ts';
import type { Snapshots } from '../../../snapshotter/api/types/snapshots.ts';
import type { Mount } from '../../../snapshotter/api/types/types.ts';
import type { Containerd } from '../../containerd/containerd.ts';
import type { RegistryImage } from './image.ts';

/** A daemon under test, asked as containerd asks a snapshotter. */
export type SnapshotterClient = ServiceClient<Snapshots>;

export function openSnapshotter(address: string): SnapshotterClient {
  return openClient('containerd.services.snapshots.v1.Snapshots', address, { timeoutMs: 60_000 });
}

export interface LazyPull {
  /** Of a snapshot that a container would be started on. */
  readonly mount: Mount;
  readonly lazyLayers: number;
  /** Layers that the daemon left to containerd to unpack. */
  readonly fallbackLayers: number;
}

const refLabel = 'containerd.io/snapshot.ref';
let pulls = 0;

/**
 * Does to the daemon what containerd's unpacker does with each layer of an image: Prepare with the layer's labels; where
 * that answers ALREADY_EXISTS the layer is mounted, else containerd's diff service unpacks it onto the mounts that came
 * back, and it is committed. `unpacker` must have the layers in its content store.
 */
export async function pullLazily<T>(
  snapshotter: SnapshotterClient,
  unpacker: Containerd,
  image: RegistryImage,
  use: (pull: LazyPull) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const prefix = `differential/${++pulls}`;
  const made: string[] = [];
  let parent = '';
  let fallbackLayers = 0;
  try {
    for (const [index, layer] of image.layers.entries()) {
      const ref = `${prefix}/${image.chainIds[index]}`;
      const labels = labelsOf(image, index, ref);
      const key = `${prefix}/extract-${index}`;
      const mounts = await prepareUnlessLazy(snapshotter, { key, parent, labels }, signal);
      if (mounts === undefined) {
        parent = await findByRef(snapshotter, ref, signal);
      } else {
        made.push(key);
        fallbackLayers++;
        const { mediaType, digest, size } = layer;
        await unpacker.client.diff.apply({ diff: { mediaType, digest, size }, mounts }, { signal });
        await snapshotter.commit({ name: ref, key, labels }, { signal });
        made.pop();
        parent = ref;
      }
      made.push(parent);
    }
    const key = `${prefix}/container`;
    const { mounts } = await snapshotter.prepare({ key, parent, labels: {} }, { signal });
    made.push(key);
    return await use({ mount: mounts[0]!, lazyLayers: image.layers.length - fallbackLayers, fallbackLayers });
  } finally {
    for (const name of made.reverse()) await snapshotter.remove({ key: name });
  }
}

/** Undefined: the snapshot exists, mounted lazily. */
async function prepareUnlessLazy(
  snapshotter: SnapshotterClient,
  request: { readonly key: string; readonly parent: string; readonly labels: Record<string, string> },
  signal: AbortSignal,
): Promise<Mount[] | undefined> {
  try {
    return (await snapshotter.prepare(request, { signal })).mounts;
  } catch (error) {
    if (error instanceof RpcError && error.code === 'ALREADY_EXISTS') return undefined;
    throw error;
  }
}

async function findByRef(snapshotter: SnapshotterClient, ref: string, signal: AbortSignal): Promise<string> {
  for await (const { info } of snapshotter.list({ filters: [`labels."${refLabel}"=="${ref}"`] }, { signal })) {
    for (const { name } of info) return name;
  }
  throw new Error(`the daemon says that ${ref} exists and does not list it`);
}

/** Those that CRI attaches, and the annotations that containerd passes on to snapshots. */
function labelsOf(image: RegistryImage, index: number, ref: string): Record<string, string> {
  const layer = image.layers[index]!;
  const inherited = Object.entries(layer.annotations ?? {}).filter(([name]) =>
    name.startsWith('containerd.io/snapshot/'),
  );
  return {
    ...Object.fromEntries(inherited),
    // As a user of images without TOC digests has to.
    ...(inherited.length === 0 ? { 'containerd.io/snapshot/remote/stargz.skipverify': 'true' } : {}),
    [refLabel]: ref,
    'containerd.io/snapshot/cri.image-ref': image.reference,
    'containerd.io/snapshot/cri.manifest-digest': image.manifestDigest,
    'containerd.io/snapshot/cri.layer-digest': layer.digest,
    'containerd.io/snapshot/cri.image-layers': image.layers
      .slice(index)
      .map(({ digest }) => digest)
      .join(','),
  };
}
