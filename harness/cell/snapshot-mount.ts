import { join } from 'node:path';
import { gcRoot } from '../containerd/gc-root.ts';
import type { PulledImage } from '../containerd/image.ts';
import { mountAt } from '../host/mounts.ts';
import type { RunningCell, Sandbox } from './sandbox.ts';

/** Mounts a container's root, an overlay with its own upper directory, below the sandbox; the caller unmounts it. */
export async function mountSnapshot(
  sandbox: Sandbox,
  { containerd }: RunningCell,
  pulled: PulledImage,
  snapshotter: string,
  signal: AbortSignal,
): Promise<string> {
  const parent = pulled.chainIds.at(-1)!;
  const { mounts } = await containerd.client.snapshots.prepare(
    { snapshotter, key: 'read', parent, labels: gcRoot() },
    { signal },
  );
  const target = join(sandbox.directory, 'read');
  await mountAt(mounts, target);
  return target;
}
