import { join } from 'node:path';
import type { Workload } from '../../workloads/workload.ts';
import { nameImages } from './ensure.ts';
import { readStore } from './store.ts';
import { type ImageName, type Variant, withNeeded } from './variants.ts';

/** What is still to be made of the images of some workloads in our registry. */
export interface ImagesPlan {
  /** Original images to build or to copy. */
  readonly missingOriginals: number;
  readonly missingConversions: number;
  /** A rough upper estimate, of what making them leaves and uses meanwhile. */
  readonly neededBytes: number;
}

const mb = 1e6;
/** The base, the cell that runs, and whatever else a run needs if all images are there. */
const runBytes = 4000 * mb;
/** Debian's base as a tar and unpacked; once. */
const baseBytes = 600 * mb;
/** An image in the build store, unpacked, without the layers of its base, and compressed in the registry. */
const originalBytes = 600 * mb;
/** A converted image in the registry and its layers in the converter's cache. */
const conversionBytes = 300 * mb;

/** Names of all variants by recipe; see `nameImages`. */
export type ImageNames = ReadonlyMap<string, Readonly<Record<Variant, ImageName>>>;

/** The plan for images that are built here. */
export async function planImages(
  workloads: readonly Workload[],
  variants: readonly Variant[],
  stateDir: string,
): Promise<ImagesPlan> {
  return await planNamed(await nameImages(workloads, stateDir), variants, stateDir);
}

export async function planNamed(
  names: ImageNames,
  variants: readonly Variant[],
  stateDir: string,
): Promise<ImagesPlan> {
  const stored = await readStore(join(stateDir, 'registry'));
  let missingOriginals = 0;
  let missingConversions = 0;
  for (const set of names.values()) {
    for (const variant of withNeeded(variants)) {
      if (stored.has(set[variant])) continue;
      if (variant === 'legacy') missingOriginals++;
      else missingConversions++;
    }
  }
  return { missingOriginals, missingConversions, neededBytes: neededBytes(missingOriginals, missingConversions) };
}

/** What a run with these many images to make may write below its state directory. */
export function neededBytes(originals: number, conversions: number): number {
  const base = originals === 0 ? 0 : baseBytes;
  return runBytes + base + originals * originalBytes + conversions * conversionBytes;
}

/** `3 images to build and 9 to convert` */
export function describePlan({ missingOriginals, missingConversions }: ImagesPlan, verb = 'build'): string {
  const images = (count: number) => (count === 1 ? '1 image' : `${count} images`);
  return `${images(missingOriginals)} to ${verb} and ${missingConversions} to convert`;
}
