import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findWorkload } from '../../workloads/catalogue.ts';
import type { ImageRecipe, Workload } from '../../workloads/workload.ts';
import { type DebianBase, ensureBase } from './base.ts';
import { type Buildah, openBuildah } from './buildah.ts';
import { recipeKey } from './key.ts';
import { ensureVariants, hasImage, type ImageName, type ImageSet, type ImagesRequest } from './variants.ts';

/**
 * Builds, pushes and converts what is missing of the images of these workloads; returns their names by recipe. An eStargz
 * image is optimised for the workload with its recipe's name. Tags are keyed by content: an image of the same recipe and
 * command is used again.
 */
export async function ensureImages(
  workloads: readonly Workload[],
  request: ImagesRequest,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ImageSet>> {
  const base = await ensureBase(join(request.stateDir, 'images'), request.onStep, signal);
  const builder = { request, base, signal, buildah: await openBuildah(join(request.stateDir, 'buildah')) };
  const recipes = new Map<string, { recipe: ImageRecipe; profile: Workload }>();
  for (const workload of workloads) {
    const { image } = workload;
    // Even if that workload is not measured: the others show what an image costs that was optimised for another workload.
    recipes.set(image.name, { recipe: image, profile: findWorkload(image.name) ?? workload });
  }
  const sets = new Map<string, ImageSet>();
  for (const { recipe, profile } of recipes.values()) sets.set(recipe.name, await ensureSet(builder, recipe, profile));
  return sets;
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

async function build(builder: Builder, recipe: ImageRecipe): Promise<string> {
  const { request, base, buildah, signal } = builder;
  const tag = `localhost/stargz-bench/${recipe.name}:${await recipeKey(recipe, base.key)}`;
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
