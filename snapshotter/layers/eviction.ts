import { randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, isDigest } from '../registry/digest.ts';
import { layerDirectory, temporaryPrefix } from '../store/layer-directory.ts';

/** Removes what a crash left in a layer root: temporary directories that were never renamed into place. */
export async function reclaimLeaks(root: string): Promise<string[]> {
  const names = await readdir(root).catch(() => []);
  const leaked = names.filter((name) => name.startsWith(temporaryPrefix));
  for (const name of leaked) await rm(join(root, name), { recursive: true, force: true });
  return leaked;
}

/**
 * Deletes the least recently used layers that are not held, until all layers together use at most `limitBytes` of disk.
 * Returns their digests. Held layers are never deleted, so they alone may exceed the limit.
 */
export async function evictLayers(
  root: string,
  limitBytes: number,
  isHeld: (digest: Digest) => boolean,
): Promise<Digest[]> {
  const layers = await listLayers(root);
  let totalBytes = layers.reduce((sum, layer) => sum + layer.diskBytes, 0);
  const evicted: Digest[] = [];
  for (const layer of layers.sort((a, b) => a.usedMs - b.usedMs)) {
    if (totalBytes <= limitBytes) break;
    // Checked last, then renamed away at once: a mount that starts during the deletion creates a new store.
    if (isHeld(layer.digest)) continue;
    const doomed = join(root, `${temporaryPrefix}${randomUUID()}`);
    renameSync(layerDirectory(root, layer.digest), doomed);
    await rm(doomed, { recursive: true, force: true });
    totalBytes -= layer.diskBytes;
    evicted.push(layer.digest);
  }
  return evicted;
}

interface StoredLayer {
  readonly digest: Digest;
  readonly diskBytes: number;
  readonly usedMs: number;
}

async function listLayers(root: string): Promise<StoredLayer[]> {
  const layers: StoredLayer[] = [];
  for (const name of await readdir(root).catch(() => [])) {
    const digest = `sha256:${name}`;
    if (!isDigest(digest)) continue;
    const files: string[] = await readdir(join(root, name)).catch(() => []);
    const stats = await Promise.all(files.map((file) => stat(join(root, name, file)).catch(() => undefined)));
    const diskBytes = stats.reduce((sum, file) => sum + (file?.blocks ?? 0) * 512, 0);
    layers.push({ digest, diskBytes, usedMs: stats[files.indexOf('meta.json')]?.mtimeMs ?? 0 });
  }
  return layers;
}
