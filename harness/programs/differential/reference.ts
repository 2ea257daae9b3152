import type { Containerd } from '../../containerd/containerd.ts';
import { gcRoot } from '../../containerd/gc-root.ts';
import type { ReferenceTree } from './comparison.ts';
import type { RegistryImage } from './image.ts';
import type { Lister } from './lister.ts';

/** What containerd makes of an image: a tree, or the words with which it refuses the pull. */
export type Unpacked = ReferenceTree | { readonly refusal: string };

export function isRefused(unpacked: Unpacked): unpacked is { readonly refusal: string } {
  return 'refusal' in unpacked;
}

/** Pulls through CRI, as a kubelet has it done, and lists what a container would see. */
export async function unpackByContainerd(
  containerd: Containerd,
  lister: Lister,
  { reference, chainIds }: RegistryImage,
  skip: readonly string[],
  signal: AbortSignal,
): Promise<Unpacked> {
  try {
    await containerd.pull(reference, signal);
  } catch (error) {
    signal.throwIfAborted();
    return { refusal: (error as { details?: string }).details ?? String(error) };
  }
  const endedMs = Date.now();
  const { snapshots } = containerd.client;
  const key = `seen-${reference}`;
  const prepared = { snapshotter: 'overlayfs', key, parent: chainIds.at(-1)!, labels: gcRoot() };
  const { mounts } = await snapshots.prepare(prepared, { signal });
  try {
    // Not of this pull: a layer that an earlier stack had in the same place is not unpacked again.
    return { entries: await lister.list(mounts[0]!, skip), startedMs: performance.timeOrigin, endedMs };
  } finally {
    await snapshots.remove({ snapshotter: 'overlayfs', key });
  }
}
