import { lstat, readdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { nearestDirectory } from '../host/preflight.ts';

/** What images take below a state directory, in bytes on disk. */
export interface DiskUse {
  readonly registry: number;
  /** Layers that are built on, unpacked. */
  readonly buildStore: number;
  /** The converter's cache of layers. */
  readonly convertedLayers: number;
  /** Debian's base and the records of accesses. */
  readonly other: number;
  readonly free: number;
}

/** Where each part lies below the state directory. */
export const registryDirectory = 'registry';
export const buildDirectory = 'buildah';
const imagesDirectory = 'images';
export const layersDirectory = join(imagesDirectory, 'layers');

export async function measureUse(stateDir: string): Promise<DiskUse> {
  const use = (name: string) => bytesBelow(join(stateDir, name));
  const { bavail, bsize } = await statfs(await nearestDirectory(stateDir));
  const convertedLayers = await use(layersDirectory);
  return {
    registry: await use(registryDirectory),
    buildStore: await use(buildDirectory),
    convertedLayers,
    other: (await use(imagesDirectory)) - convertedLayers,
    free: bavail * bsize,
  };
}

export function totalOf({ registry, buildStore, convertedLayers, other }: DiskUse): number {
  return registry + buildStore + convertedLayers + other;
}

/** `12.3 GB: registry 5.1, build store 4.0, converted layers 3.0, base and records 0.2; 61.0 GB free` */
export function describeUse(use: DiskUse): string {
  const { registry, buildStore, convertedLayers, other, free } = use;
  const parts = [
    `registry ${gb(registry)}`,
    `build store ${gb(buildStore)}`,
    `converted layers ${gb(convertedLayers)}`,
    `base and records ${gb(other)}`,
  ];
  return `${gb(totalOf(use))} GB on disk: ${parts.join(', ')}; ${gb(free)} GB are free`;
}

function gb(sizeBytes: number): string {
  return (sizeBytes / 1e9).toFixed(1);
}

/** Blocks, so that holes are free; hard links are counted each. Files and directories may go meanwhile: a run may be under way. */
async function bytesBelow(directory: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) total += await bytesBelow(path);
    else if (entry.isFile()) total += ((await lstat(path).catch(() => undefined))?.blocks ?? 0) * 512;
  }
  return total;
}
