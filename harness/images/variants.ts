import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readAccesses } from '../../snapshotter/convert/accesses.ts';
import { convertImage } from '../../snapshotter/convert/image.ts';
import type { LayerFormat } from '../../snapshotter/convert/layer.ts';
import type { ConvertProgress } from '../../snapshotter/convert/progress.ts';
import type { RegistryClient } from '../../snapshotter/registry/client.ts';
import { RegistryError } from '../../snapshotter/registry/error.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import { isImported, type Workload } from '../../workloads/workload.ts';
import { HarnessError, messageOf } from '../cli/error.ts';
import { directoryKey, keyOf } from './key.ts';

/** Part of the names of access records and of images converted with them. 2: ranges. */
const profileVersion = 2;

/** Part of the names of all converted images, to be incremented when the converter gives others. 2: sizes of the TOCs. 3: hot ranges on the lowest layer. */
const converterVersion = 4;

/** The formats that an image is kept in. `estargz-noopt` is eStargz without an access record, so without a landmark to prefetch to. */
export const variantNames = ['legacy', 'stargz', 'estargz-noopt', 'estargz', 'zstdchunked'] as const;
export type Variant = (typeof variantNames)[number];

/** An image in the local registry as `repository:tag`, to be prefixed with an address of the registry or of a link to it. */
export type ImageName = string;

export type ImageSet = Readonly<Partial<Record<Variant, ImageName>>>;

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
  /** For registries that images are imported from. */
  readonly hostsDirectory?: string | undefined;
  readonly onStep: (detail: string) => void;
}

export interface LegacyImage {
  /** Of its recipe: also its repository. */
  readonly name: string;
  /** Of its content: its tag is `legacy-KEY`. */
  readonly key: string;
  /** What the optimised variants are optimised for. */
  readonly profile: Workload;
}

interface Conversions {
  readonly request: ImagesRequest;
  readonly signal: AbortSignal;
}

/** The names of all variants of an image; which of them exist is another matter. */
export async function nameVariants({ name, key, profile }: LegacyImage): Promise<Readonly<Record<Variant, ImageName>>> {
  const profileKey = await keyOfProfile(key, profile);
  return {
    legacy: `${name}:legacy-${key}`,
    stargz: `${name}:stargz-${converterVersion}-${key}`,
    'estargz-noopt': `${name}:estargz-noopt-${converterVersion}-${key}`,
    estargz: `${name}:estargz-${converterVersion}-${profileKey}`,
    zstdchunked: `${name}:zstdchunked-${converterVersion}-${profileKey}`,
  };
}

/** With those that they are made with: accesses are recorded on the stargz image. In the order in which they are made. */
export function withNeeded(wanted: readonly Variant[]): readonly Variant[] {
  const isOptimised = wanted.some((variant) => optimised.has(variant));
  return variantNames.filter(
    (variant) => variant === 'legacy' || wanted.includes(variant) || (variant === 'stargz' && isOptimised),
  );
}

/**
 * Converts what is missing of the variants that are asked for from an image that is in the registry; returns the names of
 * all that are there for them.
 */
export async function ensureVariants(
  image: LegacyImage,
  request: ImagesRequest,
  signal: AbortSignal,
): Promise<ImageSet> {
  const conversions = { request, signal };
  const { profile } = image;
  const names = await nameVariants(image);
  const set: Partial<Record<Variant, ImageName>> = {};
  for (const variant of withNeeded(request.variants)) {
    set[variant] = names[variant];
    if (variant === 'legacy' || (await isPushed(conversions, names[variant]))) continue;
    if (!optimised.has(variant)) {
      const format = variant === 'stargz' ? 'stargz' : 'estargz';
      await convert(conversions, { source: names.legacy, target: names[variant], variant, format });
      continue;
    }
    // One record for all formats and converters, under the name that it had when there was one of each.
    const record = `${image.name}:estargz-${await keyOfProfile(image.key, profile)}`;
    const path = await ensureRecord(conversions, profile, names.stargz, record);
    const recording = { path, image: names.stargz };
    const format = optimised.get(variant)!;
    await convert(conversions, { source: names.legacy, target: names[variant], variant, format, recording });
  }
  return set;
}

async function keyOfProfile(imageKey: string, workload: Workload): Promise<string> {
  const { image, command, env, stdin, mounts = [], overrides, ready } = workload;
  const sources = await Promise.all(mounts.map(async (mount) => [mount.target, await directoryKey(mount.source)]));
  const more: unknown[] = sources.length === 0 ? [] : [sources];
  // A workload of ours is ready by one sign; of an imported image it may be asked for another each time.
  if (isImported(image))
    more.push(JSON.stringify([overrides ?? {}, ready, 'pattern' in ready ? ready.pattern.source : '']));
  return keyOf([profileVersion, imageKey, command ?? null, env, stdin ?? null, ...more]);
}

/** The variants that are converted with an access record. */
const optimised: ReadonlyMap<Variant, LayerFormat> = new Map([
  ['estargz', 'estargz'],
  ['zstdchunked', 'zstd-chunked'],
]);

function isPushed({ request: { client, registry }, signal }: Conversions, image: ImageName): Promise<boolean> {
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

/** Where the access record is with which an `estargz` image was converted. */
export function accessRecordOf(stateDir: string, estargz: ImageName): string {
  return recordPath(stateDir, estargz.replace(`:estargz-${converterVersion}-`, ':estargz-'));
}

function recordPath(stateDir: string, name: ImageName): string {
  return join(stateDir, 'images', 'accesses', `${name.replace(/[/:]/g, '-')}.jsonl`);
}

async function ensureRecord(
  conversions: Conversions,
  profile: Workload,
  stargz: ImageName,
  target: ImageName,
): Promise<string> {
  const { request, signal } = conversions;
  const path = recordPath(request.stateDir, target);
  if ((await readFile(path, 'utf8').catch(() => '')) !== '') return path;
  const directory = dirname(path);
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

interface Conversion {
  readonly source: ImageName;
  readonly target: ImageName;
  readonly variant: Variant;
  readonly format: LayerFormat;
  readonly recording?: { readonly path: string; readonly image: ImageName };
}

async function convert(
  { request, signal }: Conversions,
  { source, target, variant, format, recording }: Conversion,
): Promise<void> {
  const name = target.slice(0, target.indexOf(':'));
  request.onStep(`${name}: convert to ${variant}`);
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
        onProgress: (progress) => request.onStep(`${name}: convert to ${variant}, ${describeProgress(progress)}`),
        signal,
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    throw new HarnessError('image-convert', `converting ${source} to ${variant} failed: ${messageOf(error)}`, {
      remedy: 'run again: layers that were converted are kept',
      cause: error,
    });
  }
}

function describeProgress({ layer, layerCount, phase }: ConvertProgress): string {
  return `layer ${layer + 1} of ${layerCount} (${phase})`;
}
