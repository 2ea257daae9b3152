import { join } from 'node:path';
import type { RegistryClient } from '../../../snapshotter/registry/client.ts';
import type { Workload } from '../../../workloads/workload.ts';
import { nameImages, profilesOf } from '../../images/ensure.ts';
import { publishedImage } from '../../images/published.ts';
import type { ImagesSetting } from '../../images/registry-options.ts';
import { layerBytes, readStore } from '../../images/store.ts';
import type { ImageName, Variant } from '../../images/variants.ts';
import type { RegistryAccess } from '../../registry/access.ts';
import { readLayers } from '../../registry/manifest-layers.ts';

/** An image of a workload in one format. */
export interface FoundImage {
  readonly profile: Workload;
  readonly variant: Variant;
  /** In the embedded registry `repository:tag`, elsewhere the whole name. */
  readonly name: ImageName;
  /** Of its layers, compressed; undefined where the image is not there. */
  readonly sizeBytes: number | undefined;
}

export interface FindRequest {
  readonly workloads: readonly Workload[];
  readonly variants: readonly Variant[];
  readonly images: ImagesSetting;
  readonly stateDir: string;
}

/** In the files of our registry, which need not run. Of each image as its recipe says now. */
export async function findEmbedded({ workloads, variants, stateDir }: FindRequest): Promise<readonly FoundImage[]> {
  const stored = await readStore(join(stateDir, 'registry'));
  const names = await nameImages(workloads, stateDir);
  return profilesOf(workloads).flatMap((profile) =>
    variants.map((variant) => {
      const name = names.get(profile.image.name)![variant];
      const image = stored.get(name);
      return { profile, variant, name, sizeBytes: image && layerBytes(image) };
    }),
  );
}

/** In another registry; of each image that is there, a manifest is pulled. */
export async function findPublished(
  { workloads, variants, images }: FindRequest,
  access: RegistryAccess,
  signal: AbortSignal,
): Promise<readonly FoundImage[]> {
  const found: FoundImage[] = [];
  for (const profile of profilesOf(workloads)) {
    for (const variant of variants) {
      const name = publishedImage(images.remote!, profile, variant, images.tags);
      const isThere = (await access.look(name, signal, { refusedIsAbsent: true })) !== undefined;
      const sizeBytes = isThere ? await sizeOf(access.client, name, signal) : undefined;
      found.push({ profile, variant, name, sizeBytes });
    }
  }
  return found;
}

async function sizeOf(client: RegistryClient, image: string, signal: AbortSignal): Promise<number> {
  const layers = (await readLayers(client, image, signal)) ?? [];
  return layers.reduce((sum, { size }) => sum + size, 0);
}
