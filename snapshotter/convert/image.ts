/** Converts an image's layers, updates the DiffIDs in its config, and pushes the result as an OCI image. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOT_RANGES_ABOVE_LABEL, HOT_RANGES_LABEL, PACKED_TOC_SIZES_LABEL, TOC_SIZES_LABEL } from '../estargz/names.ts';
import { encodeSizes } from '../estargz/size-list.ts';
import type { ImageSource, ImageTarget } from '../images/image.ts';
import { registrySource, registryTarget } from '../images/registry-image.ts';
import type { RegistryClient } from '../registry/client.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import { type Descriptor, type ImageManifest, mediaTypes, type Platform } from '../registry/manifest.ts';
import type { Reference } from '../registry/reference.ts';
import { type AccessRecord, assignAccesses, type ImageAccesses, noAccesses } from './accesses.ts';
import { tocSizeBytesOf } from './blob-tree.ts';
import { ConvertError } from './error.ts';
import { traitsOf } from './format.ts';
import { listHotRanges } from './hot-list.ts';
import { convertLayers, type PushedLayer } from './image-layers.ts';
import {
  imagesOf,
  type PlannedImage,
  type PlannedIndex,
  planAllImages,
  planImage,
  type PlanSource,
} from './image-plan.ts';
import { checkOptions, type LayerFormat } from './layer.ts';
import { LayerCache } from './layer-cache.ts';
import { placePrefetched } from './prefetch.ts';
import { isTocAnnotation } from './reused-layer.ts';
import type { ConvertProgress } from './progress.ts';

export interface ImageOptions {
  readonly format: LayerFormat;
  readonly level?: number;
  readonly chunkSizeBytes?: number;
  readonly minChunkSizeBytes?: number;
  /** What a run of the image read: placed first, cut out of its files and listed. Ignored for the stargz format. */
  readonly accesses?: readonly AccessRecord[];
  /** Patterns of paths to prefetch as well. Ignored for the stargz format. */
  readonly prefetch?: readonly string[];
  /**
   * The image that the accesses were recorded on, if it is neither the source nor a conversion known to this cacheDir.
   */
  readonly recordedOn?: ImageSource;
  /** Keep layers that are in the format already and of which the record says nothing, byte for byte. */
  readonly reuse?: boolean;
  /** Layers and members under way at a time; does not change the bytes. Default: one per processor, and two layers. */
  readonly parallelism?: number;
  /** Selects an image from an index; default linux/amd64. */
  readonly platform?: Platform;
  /** Convert every image of an index and push an index. */
  readonly allPlatforms?: boolean;
  /** Cache of converted layers; default: a temporary directory, removed at the end. */
  readonly cacheDir?: string;
  readonly onProgress?: (progress: ConvertProgress) => void;
  /** Called with one line for each entry of an index that is not converted, before the first push, and for what has no effect. */
  readonly onNotice?: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface ConvertedImage {
  /** Of the manifest; of the index if `allPlatforms` converted one. */
  readonly digest: Digest;
  readonly mediaType: string;
  /** Layers of all converted images, in order. */
  readonly layers: readonly PushedLayer[];
}

/** containerd keeps them in its database with the snapshot. */
const maxHotRangesAboveBytes = 32 << 10;

export interface RegistryOptions extends Omit<ImageOptions, 'recordedOn'> {
  readonly recordedOn?: Reference;
}

/** From registry to registry; see `convertFrom`. */
export function convertImage(
  client: RegistryClient,
  source: Reference,
  target: Reference,
  { recordedOn, ...options }: RegistryOptions,
): Promise<ConvertedImage> {
  const recorded = recordedOn === undefined ? {} : { recordedOn: registrySource(client, recordedOn) };
  return convertFrom(registrySource(client, source), registryTarget(client, target), { ...options, ...recorded });
}

/**
 * Throws ConvertError, RegistryError or ImageError; disk errors are thrown as they are. The target is tagged last. The caller
 * closes source and target.
 */
export async function convertFrom(
  source: ImageSource,
  target: ImageTarget,
  options: ImageOptions,
): Promise<ConvertedImage> {
  checkOptions(options);
  checkParallelism(options.parallelism);
  if (options.allPlatforms === true && !target.takesIndex)
    throw new ConvertError('invalid-option', `${target.name} holds one image: convert without --all-platforms`);
  const directory = options.cacheDir ?? (await mkdtemp(join(tmpdir(), 'stargz-convert-')));
  try {
    const conversion = { source, target, cache: await LayerCache.open(directory), options };
    return await convertPlanned(conversion);
  } finally {
    if (options.cacheDir === undefined) await rm(directory, { recursive: true, force: true });
  }
}

interface Conversion {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  readonly cache: LayerCache;
  readonly options: ImageOptions;
}

/** Refuses what it cannot convert before the first push. */
async function convertPlanned(conversion: Conversion): Promise<ConvertedImage> {
  const { source, options } = conversion;
  const from: PlanSource = { source, signal: options.signal };
  const planned =
    options.allPlatforms === true
      ? await planAllImages(from, options.onNotice ?? (() => {}))
      : await planImage(from, options.platform);
  const prioritized = await prioritizeImages(conversion, imagesOf(planned));
  const { sizeBytes: _, ...image } = await pushPlanned(conversion, planned, true, prioritized);
  return image;
}

type Prioritized = ReadonlyMap<PlannedImage, ImageAccesses>;

async function pushPlanned(
  conversion: Conversion,
  planned: PlannedImage | PlannedIndex,
  isRoot: boolean,
  prioritized: Prioritized,
): Promise<ConvertedImage & { readonly sizeBytes: number }> {
  const { signal } = conversion.options;
  const { bytes, mediaType, layers } =
    planned.kind === 'index'
      ? await buildIndex(conversion, planned, prioritized)
      : await buildManifest(conversion, planned, prioritized.get(planned)!);
  const { target } = conversion;
  const digest = await (isRoot ? target.tag(mediaType, bytes, signal) : target.pushManifest(mediaType, bytes, signal));
  return { digest, mediaType, layers, sizeBytes: bytes.length };
}

interface BuiltManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly layers: readonly PushedLayer[];
}

/** Pushes the images of the new index, not the index itself. */
async function buildIndex(
  conversion: Conversion,
  { index, entries }: PlannedIndex,
  prioritized: Prioritized,
): Promise<BuiltManifest> {
  const manifests: Descriptor[] = [];
  const layers: PushedLayer[] = [];
  for (const entry of entries) {
    const pushed = await pushPlanned(conversion, entry, false, prioritized);
    const { platform, annotations } = entry.descriptor!;
    layers.push(...pushed.layers);
    manifests.push({
      mediaType: pushed.mediaType,
      digest: pushed.digest,
      size: pushed.sizeBytes,
      ...(platform === undefined ? {} : { platform }),
      ...(annotations === undefined ? {} : { annotations }),
    });
  }
  const mediaType = mediaTypes.ociIndex;
  const { annotations } = index;
  const bytes = encodeJson({ schemaVersion: 2, mediaType, manifests, ...(annotations ? { annotations } : {}) });
  return { bytes, mediaType, layers };
}

/** Converts and pushes the layers and the config, not the manifest itself. */
async function buildManifest(
  conversion: Conversion,
  { manifest, config }: PlannedImage,
  accesses: ImageAccesses,
): Promise<BuiltManifest> {
  const { source, target, cache, options } = conversion;
  const { signal } = options;
  const diffIds = config.rootfs.diff_ids as Digest[];
  const run = { source, target, diffIds, cache, options, onProgress: options.onProgress ?? (() => {}), signal };
  const layers = await convertLayers(run, manifest.layers, accesses.layers);
  const { landmark } = traitsOf(options.format);
  const prefetched = placePrefetched(layers, landmark ? (options.prefetch ?? []) : [], (pattern) =>
    options.onNotice?.(`no file of the image matches --prefetch ${pattern}`),
  );
  const order = [...accesses.order, ...prefetched];
  const hotRanges = landmark ? listHotRanges(order, layers) : [];
  const tocSizes = layers.map(({ path }) => tocSizeBytesOf(path));
  const packedTocSizes = layers.map(({ packedTocBytes }) => packedTocBytes);
  // The ranks of a list order it among those of the image's other layers, so that a new record replaces all.
  const keptRanges = manifest.layers.map(({ annotations }, index) =>
    order.length === 0 && layers[index]!.reused ? annotations?.[HOT_RANGES_LABEL] : undefined,
  );
  const lists = layers.map((_, index) => hotRanges[index] ?? keptRanges[index]);
  const configBytes = encodeJson({
    ...config,
    rootfs: { ...config.rootfs, diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const configDigest = digestOf(configBytes);
  if (!(await target.hasBlob(configDigest, signal))) {
    const open = async function* (): AsyncGenerator<Uint8Array> {
      yield configBytes;
    };
    await target.pushBlob({ digest: configDigest, sizeBytes: configBytes.length, open }, signal);
  }
  const mediaType = mediaTypes.ociManifest;
  const { annotations } = manifest;
  const bytes = encodeJson({
    schemaVersion: 2,
    mediaType,
    config: { mediaType: mediaTypes.ociConfig, digest: configDigest, size: configBytes.length },
    layers: layers.map((layer, index) =>
      describeLayer(layer, manifest.layers[index]!, {
        [TOC_SIZES_LABEL]: encodeSizes(TOC_SIZES_LABEL, tocSizes.slice(index)),
        [PACKED_TOC_SIZES_LABEL]: encodeSizes(PACKED_TOC_SIZES_LABEL, packedTocSizes.slice(index)),
        ...(lists[index] === undefined ? {} : { [HOT_RANGES_LABEL]: lists[index] }),
        ...(index === 0 ? hotRangesAbove(lists) : {}),
      }),
    ),
    ...(annotations ? { annotations } : {}),
  });
  return { bytes, mediaType, layers };
}

/** The lists of all layers but the lowest, for its annotations. */
function hotRangesAbove(hotRanges: readonly (string | undefined)[]): Record<string, string> {
  const added: Record<string, string> = {};
  let sizeBytes = 0;
  for (const [index, list] of hotRanges.entries()) {
    if (index === 0 || list === undefined) continue;
    sizeBytes += list.length;
    if (sizeBytes > maxHotRangesAboveBytes) break;
    added[`${HOT_RANGES_ABOVE_LABEL}${index}`] = list;
  }
  return added;
}

/** Keeps annotations, except those that describe an earlier conversion. */
function describeLayer(layer: PushedLayer, original: Descriptor, added: Readonly<Record<string, string>>): Descriptor {
  const kept = Object.entries(original.annotations ?? {}).filter(([name]) => !isTocAnnotation(name));
  const annotations = { ...Object.fromEntries(kept), ...layer.annotations, ...added };
  return {
    mediaType: layer.mediaType,
    digest: layer.digest,
    size: layer.sizeBytes,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

/** Throws if the record fits none of the images; an image that it does not fit gets no prioritised files. */
async function prioritizeImages(conversion: Conversion, images: readonly PlannedImage[]): Promise<Prioritized> {
  const { cache, options } = conversion;
  const { accesses = [], recordedOn: recordedSource, platform, signal } = options;
  const recordedOn =
    accesses.length === 0 || recordedSource === undefined
      ? undefined
      : layersOf((await planImage({ source: recordedSource, signal }, platform)).manifest);
  const prioritized = new Map<PlannedImage, ImageAccesses>();
  const refusals: ConvertError[] = [];
  for (const image of images) {
    const source = layersOf(image.manifest);
    prioritized.set(image, { layers: source.map(() => noAccesses), order: [] });
    if (accesses.length === 0) continue;
    try {
      prioritized.set(image, assignAccesses(accesses, { source, recordedOn, originOf: (one) => cache.originOf(one) }));
    } catch (error) {
      if (!(error instanceof ConvertError)) throw error;
      refusals.push(error);
    }
  }
  if (refusals.length > 0 && refusals.length === images.length) throw refusals[0];
  return prioritized;
}

function layersOf({ layers }: ImageManifest): Digest[] {
  return layers.map(({ digest }) => digest);
}

function encodeJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

const maxParallelism = 256;

function checkParallelism(parallelism: number | undefined): void {
  if (parallelism === undefined || (Number.isInteger(parallelism) && parallelism >= 1 && parallelism <= maxParallelism))
    return;
  throw new ConvertError('invalid-option', `parallelism ${parallelism} is out of range: give 1 to ${maxParallelism}`);
}
