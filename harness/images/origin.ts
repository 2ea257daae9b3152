import { messageOf, HarnessError } from '../cli/error.ts';
import type { RegistryAccess } from '../registry/access.ts';
import { explainLimit } from '../registry/allowance.ts';
import { registrySource, registryTarget } from '../../snapshotter/images/registry-image.ts';
import { RegistryError } from '../../snapshotter/registry/error.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import type { Workload } from '../../workloads/workload.ts';
import { copyImage } from './copy.ts';
import { keyOf } from './key.ts';
import { type ImageOrigin, officialImage, publishedImage, type Tags } from './published.ts';
import { hasImage, type ImageName, type ImageSet, type ImagesRequest, type Variant } from './variants.ts';

/** Original images, or converted ones, that are copied from a registry rather than built. */
export interface RemoteOrigin {
  readonly origin: Exclude<ImageOrigin, { readonly kind: 'debian' }>;
  readonly tags: Tags;
  readonly access: RegistryAccess;
}

/** The original image of a workload elsewhere. Throws HarnessError. */
export function originalImage({ origin, tags }: RemoteOrigin, workload: Workload): string {
  return origin.kind === 'set' ? publishedImage(origin.set, workload, 'legacy', tags) : officialImage(workload, tags);
}

/** Copies the original image unless it is there; its key follows from its digest. */
export async function ensureOriginal(
  from: RemoteOrigin,
  workload: Workload,
  request: ImagesRequest,
  signal: AbortSignal,
): Promise<{ readonly name: string; readonly key: string }> {
  const { name } = workload.image;
  const image = originalImage(from, workload);
  const digest = await requireDigest(from.access, image, signal);
  const key = keyOf([image, digest]);
  await copyUnlessThere(from.access, image, `${name}:legacy-${key}`, request, signal);
  return { name, key };
}

/** Copies what a set has of the converted variants. */
export async function copyConverted(
  { origin, tags, access }: RemoteOrigin,
  workload: Workload,
  request: ImagesRequest,
  signal: AbortSignal,
): Promise<ImageSet> {
  if (origin.kind !== 'set') return {};
  const copied: Partial<Record<Variant, ImageName>> = {};
  for (const variant of request.variants) {
    if (variant === 'legacy') continue;
    const image = publishedImage(origin.set, workload, variant, tags);
    const head = await access.look(image, signal);
    if (head === undefined) continue;
    const target = `${workload.image.name}:${variant}-copied-${keyOf([image, head.digest ?? null])}`;
    await copyUnlessThere(access, image, target, request, signal);
    copied[variant] = target;
  }
  return copied;
}

async function requireDigest(access: RegistryAccess, image: string, signal: AbortSignal): Promise<string> {
  const head = await access.look(image, signal);
  if (head === undefined) {
    throw new HarnessError('unsupported-image', `there is no image ${image}`, {
      remedy: 'name another tag with --tags WORKLOAD=TAG, or leave the workload out',
    });
  }
  return head.digest ?? (await access.client.fetchManifest(parseReference(image), signal)).digest;
}

async function copyUnlessThere(
  access: RegistryAccess,
  image: string,
  name: ImageName,
  { client, registry, onStep }: ImagesRequest,
  signal: AbortSignal,
): Promise<void> {
  if (await hasImage(client, `${registry}/${name}`, signal)) return;
  const source = registrySource(access.client, parseReference(image));
  const target = registryTarget(client, parseReference(`${registry}/${name}`));
  const onLayer = (index: number, count: number) => onStep(`copy ${image}, layer ${index + 1} of ${count}`);
  try {
    await copyImage({ source, target, onLayer }, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw explainCopy(image, error);
  }
}

/** Layers that are there are kept, so the remedy is to run again. */
export function explainCopy(image: string, error: unknown): unknown {
  const explained = error instanceof RegistryError ? explainLimit(parseReference(image).registry, error) : error;
  if (explained instanceof HarnessError) return explained;
  return new HarnessError('network', `copying ${image} failed: ${messageOf(error)}`, {
    remedy: 'run again: layers that were copied are kept',
    cause: error,
  });
}
