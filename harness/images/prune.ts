import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Workload } from '../../workloads/workload.ts';
import { unmountUnder } from '../host/mounts.ts';
import { collectGarbage } from '../registry/registry.ts';
import { openBuildah } from './buildah.ts';
import { buildDirectory, layersDirectory, measureUse, registryDirectory, totalOf } from './disk-use.ts';
import { buildTags, nameImages } from './ensure.ts';
import { readStore, type StoredImage, storedBytes, tagPath } from './store.ts';
import type { ImageName, Variant } from './variants.ts';

export interface PruneRequest {
  readonly stateDir: string;
  /** Whose images stay, in these formats. */
  readonly workloads: readonly Workload[];
  readonly variants: readonly Variant[];
  /** What everything may take on disk; undefined: whatever stays takes. */
  readonly limitBytes: number | undefined;
  readonly onStep: (detail: string) => void;
}

/** What pruning would remove of the registry: images of older recipes or converters, and those that are not kept. */
export async function planPrune({ stateDir, workloads, variants }: PruneRequest): Promise<{
  readonly kept: readonly StoredImage[];
  readonly removed: readonly StoredImage[];
}> {
  const names = new Set<ImageName>();
  for (const set of (await nameImages(workloads, stateDir)).values()) {
    for (const variant of variants) names.add(set[variant]);
  }
  const stored = [...(await readStore(join(stateDir, registryDirectory))).values()];
  const [kept, removed] = [stored.filter(({ name }) => names.has(name)), stored.filter(({ name }) => !names.has(name))];
  return { kept, removed };
}

/**
 * Removes what is of no use to a run of these workloads; then, as long as more than the limit is taken, the build store and
 * images, the oldest first. The registry must not run. Everything can be made again.
 */
export async function prune(request: PruneRequest, signal: AbortSignal): Promise<void> {
  const { stateDir, workloads, limitBytes = Number.POSITIVE_INFINITY, onStep } = request;
  const dataDir = join(stateDir, registryDirectory);
  const { kept, removed } = await planPrune(request);
  onStep(`remove ${removed.length} images of ${removed.length + kept.length}`);
  await removeImages(dataDir, removed, kept, signal);
  await rm(join(stateDir, layersDirectory), { recursive: true, force: true });
  const buildah = await openBuildah(join(stateDir, buildDirectory));
  const count = await buildah.removeOthers(await buildTags(workloads, stateDir), signal);
  onStep(`removed the converter's cache and ${count} images of the build store`);
  if (totalOf(await measureUse(stateDir)) <= limitBytes) return;

  onStep('over the limit: remove the build store');
  await removeTree(join(stateDir, buildDirectory));
  const overBytes = totalOf(await measureUse(stateDir)) - limitBytes;
  if (overBytes <= 0) return;
  const { staying, evicted } = chooseEvicted(kept, overBytes);
  onStep(`over the limit: remove the oldest ${evicted.length} images`);
  await removeImages(dataDir, evicted, staying, signal);
}

/** The oldest images until what only they use comes to as many bytes. */
export function chooseEvicted(images: readonly StoredImage[], bytes: number) {
  const staying = images.toSorted((one, other) => one.taggedAtMs - other.taggedAtMs);
  const evicted: StoredImage[] = [];
  const before = storedBytes(staying);
  while (staying.length > 0 && before - storedBytes(staying) < bytes) evicted.push(staying.shift()!);
  return { staying, evicted };
}

async function removeImages(
  dataDir: string,
  images: readonly StoredImage[],
  staying: readonly StoredImage[],
  signal: AbortSignal,
): Promise<void> {
  if (images.length === 0) return;
  const repositoryOf = (name: ImageName) => name.slice(0, name.lastIndexOf(':'));
  const left = new Set(staying.map(({ name }) => repositoryOf(name)));
  for (const { name } of images) {
    signal.throwIfAborted();
    const tag = tagPath(dataDir, name);
    // Of a repository without tags, the collector could not tell what is in use: TAG, tags, _manifests go with it.
    const repository = dirname(dirname(dirname(tag)));
    if (left.has(repositoryOf(name))) await rm(tag, { recursive: true, force: true });
    else
      for (const part of ['_manifests', '_layers', '_uploads'])
        await rm(join(repository, part), { recursive: true, force: true });
  }
  await collectGarbage(dataDir, signal);
}

/** A killed build may have left mounts: never delete through those. */
async function removeTree(directory: string): Promise<void> {
  await unmountUnder(directory);
  await rm(directory, { recursive: true, force: true });
}
