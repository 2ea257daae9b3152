import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readAccesses } from '../../snapshotter/convert/accesses.ts';
import { convertImage } from '../../snapshotter/convert/image.ts';
import type { LayerFormat } from '../../snapshotter/convert/layer.ts';
import type { ConvertProgress } from '../../snapshotter/convert/progress.ts';
import type { RegistryClient } from '../../snapshotter/registry/client.ts';
import { RegistryError } from '../../snapshotter/registry/error.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import { findWorkload } from '../../workloads/catalogue.ts';
import type { ImageRecipe, Workload } from '../../workloads/workload.ts';
import { HarnessError, messageOf } from '../cli/error.ts';
import { type DebianBase, ensureBase } from './base.ts';
import { type Buildah, openBuildah } from './buildah.ts';
import { keyOf, recipeKey } from './key.ts';

/** Part of the names of access records and of images converted with them. 2: ranges. */
const profileVersion = 2;

/** The formats that an image is kept in. `estargz-noopt` is eStargz without an access record, so without a landmark to prefetch to. */
export const variantNames = ['legacy', 'stargz', 'estargz-noopt', 'estargz', 'zstdchunked'] as const;
export type Variant = (typeof variantNames)[number];

/** An image in the local registry as `repository:tag`, to be prefixed with an address of the registry or of a link to it. */
export type ImageName = string;

export interface ImagesRequest {
  readonly stateDir: string;
  /** `host:port` of the registry itself, not of the link. */
  readonly registry: string;
  readonly client: RegistryClient;
  /** Variants that the run's modes need. The optimised ones imply stargz, on which accesses are recorded. */
  readonly variants: readonly Variant[];
  /**
   * Runs the workload once on a lazily mounted stargz image and writes its access record (convert/accesses.ts) to `path`.
   */
  readonly record: (workload: Workload, image: ImageName, path: string, signal: AbortSignal) => Promise<void>;
  readonly onStep: (detail: string) => void;
}

export type ImageSet = Readonly<Partial<Record<Variant, ImageName>>>;

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
  const { variants: wanted } = builder.request;
  const key = await recipeKey(recipe, builder.base.key);
  const legacy = `${recipe.name}:legacy-${key}`;
  if (!(await isPushed(builder, legacy))) await buildAndPush(builder, recipe, legacy);
  const set: Partial<Record<Variant, ImageName>> = { legacy };
  if (wanted.includes('estargz-noopt')) {
    set['estargz-noopt'] = `${recipe.name}:estargz-noopt-${key}`;
    if (!(await isPushed(builder, set['estargz-noopt']))) {
      await convert(builder, legacy, set['estargz-noopt'], 'estargz');
    }
  }
  if (!['stargz', ...optimised.keys()].some((variant) => wanted.includes(variant as Variant))) return set;
  set.stargz = `${recipe.name}:stargz-${key}`;
  if (!(await isPushed(builder, set.stargz))) await convert(builder, legacy, set.stargz, 'stargz');
  const { command, env, stdin } = profile;
  const profileKey = keyOf([profileVersion, key, command ?? null, env, stdin ?? null]);
  for (const [variant, format] of optimised) {
    if (!wanted.includes(variant)) continue;
    const target = `${recipe.name}:${variant}-${profileKey}`;
    set[variant] = target;
    if (await isPushed(builder, target)) continue;
    // One record for all formats, under the name that it had when there was one format.
    const path = await ensureRecord(builder, profile, set.stargz, `${recipe.name}:estargz-${profileKey}`);
    await convert(builder, legacy, target, format, { path, image: set.stargz });
  }
  return set;
}

/** The variants that are converted with an access record. */
const optimised: ReadonlyMap<Variant, LayerFormat> = new Map([
  ['estargz', 'estargz'],
  ['zstdchunked', 'zstd-chunked'],
]);

function isPushed({ request: { client, registry }, signal }: Builder, image: ImageName): Promise<boolean> {
  return hasImage(client, `${registry}/${image}`, signal);
}

/** Whether the registry of a full reference has it. */
export async function hasImage(client: RegistryClient, reference: string, signal: AbortSignal): Promise<boolean> {
  try {
    await client.fetchManifest(parseReference(reference), signal);
    return true;
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'not-found') return false;
    throw error;
  }
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
    await buildah.build({ tag, context: recipe.directory, base: parent }, onStep, signal);
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

async function ensureRecord(
  builder: Builder,
  profile: Workload,
  stargz: ImageName,
  target: ImageName,
): Promise<string> {
  const { request, signal } = builder;
  const directory = join(request.stateDir, 'images', 'accesses');
  const path = join(directory, `${target.replace(/[/:]/g, '-')}.jsonl`);
  if ((await readFile(path, 'utf8').catch(() => '')) !== '') return path;
  await mkdir(directory, { recursive: true });
  request.onStep(`${profile.name}: record its accesses`);
  const partial = `${path}.partial`;
  await rm(partial, { force: true });
  await request.record(profile, stargz, partial, signal);
  if ((await readFile(partial, 'utf8').catch(() => '')) === '') {
    throw new HarnessError('image-convert', `recording ${profile.name} on ${stargz} recorded no access`, {
      remedy: `remove ${directory} and run again; if that does not help, run with --modes legacy,stargz`,
    });
  }
  await rename(partial, path);
  return path;
}

async function convert(
  { request, signal }: Builder,
  source: ImageName,
  target: ImageName,
  format: LayerFormat,
  recording?: { readonly path: string; readonly image: ImageName },
): Promise<void> {
  const name = target.slice(0, target.indexOf(':'));
  request.onStep(`${name}: convert to ${format}`);
  try {
    await convertImage(
      request.client,
      parseReference(`${request.registry}/${source}`),
      parseReference(`${request.registry}/${target}`),
      {
        format,
        ...(recording === undefined
          ? {}
          : {
              accesses: await readAccesses(recording.path),
              recordedOn: parseReference(`${request.registry}/${recording.image}`),
            }),
        cacheDir: join(request.stateDir, 'images', 'layers'),
        onProgress: (progress) => request.onStep(`${name}: convert to ${format}, ${describeProgress(progress)}`),
        signal,
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    throw new HarnessError('image-convert', `converting ${source} to ${format} failed: ${messageOf(error)}`, {
      remedy: 'run again: layers that were converted are kept',
      cause: error,
    });
  }
}

function describeProgress({ layer, layerCount, phase }: ConvertProgress): string {
  return `layer ${layer + 1} of ${layerCount} (${phase})`;
}
