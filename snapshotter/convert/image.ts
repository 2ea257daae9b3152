/** A whole image: its layers converted, its config given their DiffIDs, pushed as an OCI image under the target's name. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RegistryClient } from '../registry/client.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import {
  type Descriptor,
  type ImageIndex,
  type ImageManifest,
  mediaTypes,
  type Platform,
  parseImageConfig,
  parseManifest,
  pickPlatform,
} from '../registry/manifest.ts';
import { formatReference, type Reference } from '../registry/reference.ts';
import { type AccessRecord, assignAccesses } from './accesses.ts';
import { ConvertError } from './error.ts';
import { convertLayers, type PushedLayer } from './image-layers.ts';
import { checkOptions, type LayerFormat } from './layer.ts';
import { LayerCache } from './layer-cache.ts';
import type { ConvertProgress } from './progress.ts';

export interface ImageOptions {
  readonly format: LayerFormat;
  readonly level?: number;
  readonly chunkSizeBytes?: number;
  readonly minChunkSizeBytes?: number;
  /** What a run of the image read: those files come first. Not used by the stargz format. */
  readonly accesses?: readonly AccessRecord[];
  /**
   * The image the accesses were recorded on, where that is neither the source itself nor a conversion that this
   * cacheDir remembers.
   */
  readonly recordedOn?: Reference;
  /** Which image of an index; default linux/amd64. */
  readonly platform?: Platform;
  /** Convert every image of an index and push an index. */
  readonly allPlatforms?: boolean;
  /** Converted layers are kept and found here; default: a temporary directory that is removed. */
  readonly cacheDir?: string;
  readonly onProgress?: (progress: ConvertProgress) => void;
  readonly signal: AbortSignal;
}

export interface ConvertedImage {
  readonly reference: Reference;
  /** Of the manifest, or of the index with `allPlatforms`. */
  readonly digest: Digest;
  readonly mediaType: string;
  /** Of all images that were converted, one after another. */
  readonly layers: readonly PushedLayer[];
}

const defaultPlatform: Platform = { os: 'linux', architecture: 'amd64' };
const tocAnnotations = /^(containerd\.io\/snapshot\/stargz\/|io\.containers\.(estargz|zstd-chunked)\.)/;

/** Throws ConvertError or RegistryError; errors of the disk pass through. Nothing is tagged unless all of it is there. */
export async function convertImage(
  client: RegistryClient,
  source: Reference,
  target: Reference,
  options: ImageOptions,
): Promise<ConvertedImage> {
  checkOptions(options);
  const directory = options.cacheDir ?? (await mkdtemp(join(tmpdir(), 'stargz-convert-')));
  try {
    const conversion = { client, source, target, cache: await LayerCache.open(directory), options };
    return await convertManifestOrIndex(conversion);
  } finally {
    if (options.cacheDir === undefined) await rm(directory, { recursive: true, force: true });
  }
}

interface Conversion {
  readonly client: RegistryClient;
  readonly source: Reference;
  readonly target: Reference;
  readonly cache: LayerCache;
  readonly options: ImageOptions;
}

async function convertManifestOrIndex(conversion: Conversion): Promise<ConvertedImage> {
  const { client, source, target, options } = conversion;
  const fetched = await client.fetchManifest(source, options.signal);
  const parsed = parseManifest(fetched.bytes, fetched.mediaType);
  if (parsed.kind === 'index' && options.allPlatforms === true) return convertIndex(conversion, parsed.index);
  return convertManifest(conversion, await chooseManifest(conversion, source, parsed), target);
}

async function convertIndex(conversion: Conversion, index: ImageIndex): Promise<ConvertedImage> {
  const { client, source, target, options } = conversion;
  // Attestations (platform unknown/unknown) speak of the manifests that are replaced here.
  const images = index.manifests.filter(({ platform }) => platform !== undefined && platform.os !== 'unknown');
  if (images.length === 0) {
    throw new ConvertError('unsupported-image', `cannot convert ${formatReference(source)}: its index has no image`);
  }
  const manifests: Descriptor[] = [];
  const layers: PushedLayer[] = [];
  for (const image of images) {
    const manifest = await fetchImageManifest(conversion, image);
    const { registry, repository } = target;
    const converted = await buildManifest(conversion, manifest);
    const digest = digestOf(converted.bytes);
    await client.pushManifest(
      { registry, repository, digest },
      mediaTypes.ociManifest,
      converted.bytes,
      options.signal,
    );
    layers.push(...converted.layers);
    manifests.push({
      mediaType: mediaTypes.ociManifest,
      digest,
      size: converted.bytes.length,
      ...(image.platform === undefined ? {} : { platform: image.platform }),
      ...(image.annotations === undefined ? {} : { annotations: image.annotations }),
    });
  }
  const bytes = encodeJson({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests,
    ...(index.annotations === undefined ? {} : { annotations: index.annotations }),
  });
  const digest = await client.pushManifest(target, mediaTypes.ociIndex, bytes, options.signal);
  return { reference: target, digest, mediaType: mediaTypes.ociIndex, layers };
}

async function convertManifest(
  conversion: Conversion,
  manifest: ImageManifest,
  target: Reference,
): Promise<ConvertedImage> {
  const { bytes, layers } = await buildManifest(conversion, manifest);
  const { client, options } = conversion;
  const digest = await client.pushManifest(target, mediaTypes.ociManifest, bytes, options.signal);
  return { reference: target, digest, mediaType: mediaTypes.ociManifest, layers };
}

/** Converts and pushes all that the new manifest names; the manifest itself is the caller's to push. */
async function buildManifest(
  conversion: Conversion,
  manifest: ImageManifest,
): Promise<{ readonly bytes: Buffer; readonly layers: readonly PushedLayer[] }> {
  const { client, source, target, cache, options } = conversion;
  const { signal } = options;
  const config = await fetchConfig(conversion, manifest);
  const run = { client, source, target, cache, options, onProgress: options.onProgress ?? (() => {}), signal };
  const layers = await convertLayers(run, manifest.layers, await prioritizedPaths(conversion, manifest));
  const configBytes = encodeJson({
    ...config,
    rootfs: { ...config.rootfs, diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const configDigest = digestOf(configBytes);
  if (!(await client.hasBlob(target, configDigest, signal))) {
    const open = async function* (): AsyncGenerator<Uint8Array> {
      yield configBytes;
    };
    await client.pushBlob(target, { digest: configDigest, sizeBytes: configBytes.length, open }, signal);
  }
  const bytes = encodeJson({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: configDigest, size: configBytes.length },
    layers: layers.map((layer, index) => describeLayer(layer, manifest.layers[index]!)),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  });
  return { bytes, layers };
}

/** What an earlier conversion said of its TOC does not hold any more; other annotations stay. */
function describeLayer(layer: PushedLayer, original: Descriptor): Descriptor {
  const kept = Object.entries(original.annotations ?? {}).filter(([name]) => !tocAnnotations.test(name));
  const annotations = { ...Object.fromEntries(kept), ...layer.annotations };
  return {
    mediaType: layer.mediaType,
    digest: layer.digest,
    size: layer.sizeBytes,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

async function prioritizedPaths(conversion: Conversion, manifest: ImageManifest): Promise<string[][]> {
  const { cache, options } = conversion;
  const source = manifest.layers.map(({ digest }) => digest);
  if (options.accesses === undefined || options.accesses.length === 0) return source.map(() => []);
  const recordedOn = options.recordedOn && (await layersOf(conversion, options.recordedOn));
  return assignAccesses(options.accesses, { source, recordedOn, originOf: (digest) => cache.originOf(digest) });
}

async function layersOf(conversion: Conversion, image: Reference): Promise<Digest[]> {
  const fetched = await conversion.client.fetchManifest(image, conversion.options.signal);
  const manifest = await chooseManifest(conversion, image, parseManifest(fetched.bytes, fetched.mediaType));
  return manifest.layers.map(({ digest }) => digest);
}

/** The manifest itself, or the index's for the platform asked for. */
async function chooseManifest(
  { client, options }: Pick<Conversion, 'client' | 'options'>,
  image: Reference,
  parsed: ReturnType<typeof parseManifest>,
): Promise<ImageManifest> {
  if (parsed.kind === 'manifest') return parsed.manifest;
  const platform = options.platform ?? defaultPlatform;
  const picked = pickPlatform(parsed.index, platform);
  if (picked !== undefined) return fetchImageManifest({ client, source: image, options }, picked);
  const has = parsed.index.manifests.flatMap((one) => (one.platform === undefined ? [] : [platformName(one.platform)]));
  throw new ConvertError(
    'unsupported-image',
    `${formatReference(image)} has no ${platformName(platform)} image, only ${has.join(', ')}; ` +
      'choose one with --platform or take --all-platforms',
  );
}

async function fetchImageManifest(
  { client, source, options }: Pick<Conversion, 'client' | 'source' | 'options'>,
  { digest }: Descriptor,
): Promise<ImageManifest> {
  const { registry, repository } = source;
  const fetched = await client.fetchManifest({ registry, repository, digest }, options.signal);
  const parsed = parseManifest(fetched.bytes, fetched.mediaType);
  if (parsed.kind === 'manifest') return parsed.manifest;
  throw new ConvertError('unsupported-image', `cannot convert ${formatReference(source)}: its index holds an index`);
}

async function fetchConfig(
  { client, source, options }: Conversion,
  { config, layers }: ImageManifest,
): Promise<ReturnType<typeof parseImageConfig>> {
  if (config.mediaType !== mediaTypes.ociConfig && config.mediaType !== mediaTypes.dockerConfig) {
    throw new ConvertError(
      'unsupported-image',
      `cannot convert ${formatReference(source)}: its config is ${config.mediaType}, so it is no container image`,
    );
  }
  const pieces: Buffer[] = [];
  for await (const piece of client.fetchBlob(source, config.digest, options.signal)) pieces.push(piece);
  const parsed = parseImageConfig(Buffer.concat(pieces));
  if (parsed.rootfs.diff_ids.length === layers.length) return parsed;
  throw new ConvertError(
    'unsupported-image',
    `cannot convert ${formatReference(source)}: its config names ${parsed.rootfs.diff_ids.length} layers, its ` +
      `manifest ${layers.length}; build the image again`,
  );
}

function platformName({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter((part) => part !== undefined).join('/');
}

function encodeJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
