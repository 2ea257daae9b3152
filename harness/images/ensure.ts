import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findWorkload } from '../../workloads/catalogue.ts';
import { type ImageRecipe, type ImportedImage, isImported, type Workload } from '../../workloads/workload.ts';
import { type DebianBase, ensureBase, locateBase } from './base.ts';
import { type Buildah, openBuildah } from './buildah.ts';
import { ensureImported } from './imported.ts';
import { recipeKey } from './key.ts';
import { copyConverted, ensureOriginal, originalImage, type RemoteOrigin } from './origin.ts';
import {
  ensureVariants,
  hasImage,
  type ImageName,
  type ImageSet,
  type ImagesRequest,
  nameVariants,
  type Variant,
} from './variants.ts';

/**
 * Builds or copies, pushes and converts what is missing of the images of these workloads; returns their names by image. Tags
 * are keyed by content: an image of the same recipe and command is used again. `from`: they are not built here.
 */
export async function ensureImages(
  workloads: readonly Workload[],
  request: ImagesRequest,
  signal: AbortSignal,
  from?: RemoteOrigin,
): Promise<ReadonlyMap<string, ImageSet>> {
  const sets = new Map<string, ImageSet>();
  for (const workload of workloads) {
    if (isImported(workload.image))
      sets.set(workload.image.name, await ensureImportedSet(workload.image, workload, request, signal));
  }
  const profiles = profilesOf(workloads);
  if (profiles.length === 0) return sets;
  if (from !== undefined) {
    for (const workload of workloads) originalImage(from, workload);
    for (const profile of profiles) sets.set(profile.image.name, await copySet(from, profile, request, signal));
    return sets;
  }
  const base = await ensureBase(join(request.stateDir, 'images'), request.onStep, signal);
  const builder = { request, base, signal, buildah: await openBuildah(join(request.stateDir, 'buildah')) };
  for (const profile of profiles) {
    sets.set(profile.image.name, await ensureSet(builder, profile.image, profile));
  }
  return sets;
}

/**
 * One workload for each of their images: that with the image's name, for which its optimised variants are made even if it is
 * not among them, so that the others show what an image costs that was optimised for another workload.
 */
export function profilesOf(workloads: readonly Workload[]): readonly Profile[] {
  const profiles = new Map<string, Profile>();
  for (const { image, ...workload } of workloads) {
    if (!isImported(image)) profiles.set(image.name, findWorkload(image.name) ?? { ...workload, image });
  }
  return [...profiles.values()];
}

/** A workload of an image of ours. */
export type Profile = Workload & { readonly image: ImageRecipe };

/** The names that the images of these workloads have when they are built, by recipe, whether they are or not. */
export async function nameImages(
  workloads: readonly Workload[],
  stateDir: string,
): Promise<ReadonlyMap<string, Readonly<Record<Variant, ImageName>>>> {
  const { key: baseKey } = await locateBase(join(stateDir, 'images'));
  const names = new Map<string, Readonly<Record<Variant, ImageName>>>();
  for (const profile of profilesOf(workloads)) {
    const { name } = profile.image;
    names.set(name, await nameVariants({ name, key: await recipeKey(profile.image, baseKey), profile }));
  }
  return names;
}

/** The converted variants are the set's own where it has them. */
async function copySet(
  from: RemoteOrigin,
  profile: Workload,
  request: ImagesRequest,
  signal: AbortSignal,
): Promise<ImageSet> {
  const original = await ensureOriginal(from, profile, request, signal);
  const copied = await copyConverted(from, profile, request, signal);
  const variants = request.variants.filter((variant) => copied[variant] === undefined);
  return { ...(await ensureVariants({ ...original, profile }, { ...request, variants }, signal)), ...copied };
}

/** Always with the optimised image: that the workload becomes ready, and how, is known before anything is measured. */
async function ensureImportedSet(
  image: ImportedImage,
  profile: Workload,
  request: ImagesRequest,
  signal: AbortSignal,
): Promise<ImageSet> {
  const key = await ensureImported(image, { ...request, scratch: join(request.stateDir, 'images', 'copies') }, signal);
  const variants = [...new Set([...request.variants, 'estargz' as const])];
  return await ensureVariants({ name: image.name, key, profile }, { ...request, variants }, signal);
}

interface Builder {
  readonly request: ImagesRequest;
  readonly base: DebianBase;
  readonly signal: AbortSignal;
  readonly buildah: Buildah;
}

async function ensureSet(builder: Builder, recipe: ImageRecipe, profile: Workload): Promise<ImageSet> {
  const { request, base, signal } = builder;
  const key = await recipeKey(recipe, base.key);
  const legacy = `${recipe.name}:legacy-${key}`;
  if (!(await hasImage(request.client, `${request.registry}/${legacy}`, signal))) {
    await buildAndPush(builder, recipe, legacy);
  }
  return await ensureVariants({ name: recipe.name, key, profile }, request, signal);
}

async function buildAndPush(builder: Builder, recipe: ImageRecipe, image: ImageName): Promise<void> {
  const { request, buildah, signal } = builder;
  const tag = await build(builder, recipe);
  request.onStep(`${recipe.name}: compress and push`);
  await buildah.push(tag, `${request.registry}/${image}`, signal);
}

async function buildTag(recipe: ImageRecipe, baseKey: string): Promise<string> {
  return `localhost/stargz-bench/${recipe.name}:${await recipeKey(recipe, baseKey)}`;
}

/** The names in the build store of the images of these workloads and of those that they are built on. */
export async function buildTags(workloads: readonly Workload[], stateDir: string): Promise<readonly string[]> {
  const { key } = await locateBase(join(stateDir, 'images'));
  const tags = new Set<string>();
  for (const { image } of workloads) {
    if (isImported(image)) continue;
    for (let recipe: ImageRecipe | undefined = image; recipe !== undefined; recipe = recipe.parent) {
      tags.add(await buildTag(recipe, key));
    }
  }
  return [...tags];
}

async function build(builder: Builder, recipe: ImageRecipe): Promise<string> {
  const { request, base, buildah, signal } = builder;
  const tag = await buildTag(recipe, base.key);
  if (await buildah.has(tag)) return tag;
  const parent = recipe.parent === undefined ? undefined : await build(builder, recipe.parent);
  const onStep = (detail: string) => request.onStep(`${recipe.name}: ${detail}`);
  onStep('build');
  if (parent !== undefined) {
    const { directory, buildArguments } = recipe;
    await buildah.build({ tag, context: directory, base: parent, buildArguments }, onStep, signal);
    return tag;
  }
  // The base's Dockerfile adds the tar, which must be in its build context.
  const context = await mkdtemp(join(request.stateDir, 'images', 'context-'));
  try {
    for (const name of await readdir(recipe.directory))
      await copyFile(join(recipe.directory, name), join(context, name));
    await copyFile(base.tarPath, join(context, 'rootfs.tar'));
    await buildah.build({ tag, context, base: undefined }, onStep, signal);
  } finally {
    await rm(context, { recursive: true, force: true });
  }
  return tag;
}
