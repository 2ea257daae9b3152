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
  snapshotter: 'overlayfs' | 'native',
  lister: Lister,
  { reference, chainIds }: RegistryImage,
  skip: readonly string[],
  signal: AbortSignal,
): Promise<Unpacked> {
  const startedMs = Date.now();
  try {
    await containerd.pull(reference, signal);
  } catch (error) {
    signal.throwIfAborted();
    return { refusal: (error as { details?: string }).details ?? String(error) };
  }
  const endedMs = Date.now();
  const { snapshots } = containerd.client;
  const key = `seen-${reference}`;
  const prepared = { snapshotter, key, parent: chainIds.at(-1)!, labels: gcRoot() };
  const { mounts } = await snapshots.prepare(prepared, { signal });
  try {
    return { entries: await lister.list(mounts[0]!, skip), isPlain: snapshotter === 'native', startedMs, endedMs };
  } finally {
    await snapshots.remove({ snapshotter, key });
  }
}
