/**
 * Decides what to convert before anything is written: one image, or every image of an index and its nested indexes. Entries
 * that are not images are left out and reported.
 */
import type { ImageSource } from '../images/image.ts';
import {
  type Descriptor,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  mediaTypes,
  type Platform,
  parseImageConfig,
  parseManifest,
  pickPlatform,
} from '../registry/manifest.ts';
import { ConvertError } from './error.ts';

/** containerd's limit for what it reads into memory. */
const maxConfigBytes = 8 * 1024 * 1024;

export interface PlannedImage {
  readonly kind: 'image';
  /** The descriptor in its index. */
  readonly descriptor: Descriptor | undefined;
  readonly manifest: ImageManifest;
  readonly config: ImageConfig;
}

export interface PlannedIndex {
  readonly kind: 'index';
  readonly descriptor: Descriptor | undefined;
  readonly index: ImageIndex;
  readonly entries: readonly (PlannedImage | PlannedIndex)[];
}

export interface PlanSource {
  readonly source: ImageSource;
  readonly signal: AbortSignal;
}

/** Throws ConvertError `unsupported-image` if the source is not a container image that can be converted, `other-platform` if none is for `platform`. */
export async function planImage(from: PlanSource, platform: Platform | undefined): Promise<PlannedImage> {
  const parsed = await fetchParsed(from);
  if (parsed.kind === 'manifest')
    return requirePlatform(from, await readImage(from, undefined, parsed.manifest), platform);
  return chooseImage(from, parsed.index, platform ?? defaultPlatform);
}

/** An image that is no index has one platform, which counts only if another one is asked for. */
function requirePlatform({ source }: PlanSource, image: PlannedImage, wanted: Platform | undefined): PlannedImage {
  const own = platformOf(image.config);
  const descriptor = { ...image.manifest.config, platform: own };
  if (wanted === undefined || pickPlatform({ schemaVersion: 2, manifests: [descriptor] }, wanted)) return image;
  throw new ConvertError(
    'other-platform',
    `${source.name} is for ${platformName(own)}, not ${platformName(wanted)}; leave out --platform or name another image`,
  );
}

/** Throws as `planImage` does. `onLeftOut` gets one line for each entry of the index that is not converted. */
export async function planAllImages(
  from: PlanSource,
  onLeftOut: (line: string) => void,
): Promise<PlannedImage | PlannedIndex> {
  const parsed = await fetchParsed(from);
  if (parsed.kind === 'manifest') return readImage(from, undefined, parsed.manifest);
  const planned = await planIndex(from, undefined, parsed.index, onLeftOut, 0);
  if (imagesOf(planned).length > 0) return planned;
  throw unsupported(from, 'its index contains no image');
}

/** In the order of the index. */
export function imagesOf(planned: PlannedImage | PlannedIndex): PlannedImage[] {
  return planned.kind === 'image' ? [planned] : planned.entries.flatMap(imagesOf);
}

const defaultPlatform: Platform = { os: 'linux', architecture: 'amd64' };

/** In practice, indexes nest no deeper than an index of indexes. */
const maxIndexDepth = 4;

async function planIndex(
  from: PlanSource,
  descriptor: Descriptor | undefined,
  index: ImageIndex,
  onLeftOut: (line: string) => void,
  depth: number,
): Promise<PlannedIndex> {
  const entries: (PlannedImage | PlannedIndex)[] = [];
  for (const entry of index.manifests) {
    const leaveOut = (reason: string): void => onLeftOut(`left out ${nameOf(entry)}: ${reason}`);
    const reason = whyNoImage(entry);
    if (reason !== undefined) {
      leaveOut(reason);
      continue;
    }
    const parsed = await fetchParsed(from, entry);
    if (parsed.kind === 'manifest') {
      const unfit = whyUnfit(parsed.manifest);
      if (unfit === undefined) entries.push(await readImage(from, entry, parsed.manifest));
      else leaveOut(unfit);
    } else if (depth + 1 < maxIndexDepth) {
      const inner = await planIndex(from, entry, parsed.index, onLeftOut, depth + 1);
      if (inner.entries.length > 0) entries.push(inner);
      else leaveOut('an index without an image that can be converted');
    } else {
      leaveOut('an index nested too deeply');
    }
  }
  return { kind: 'index', descriptor, index, entries };
}

async function chooseImage(from: PlanSource, index: ImageIndex, platform: Platform): Promise<PlannedImage> {
  const picked = pickPlatform(index, platform);
  const parsed = picked && (await fetchParsed(from, picked));
  if (parsed?.kind === 'manifest') return readImage(from, picked, parsed.manifest);
  // Descriptors without a platform, and nested indexes, must be fetched to learn their platforms.
  const images = imagesOf(await planIndex(from, undefined, parsed?.index ?? index, () => {}, 0));
  const manifests = images.flatMap(({ descriptor, config }) =>
    descriptor === undefined ? [] : [{ ...descriptor, platform: descriptor.platform ?? platformOf(config) }],
  );
  const chosen = pickPlatform({ ...index, manifests }, platform);
  const named = images.find(({ descriptor }) => descriptor?.digest === chosen?.digest);
  if (named !== undefined) return named;
  const [only, ...others] = images;
  if (only !== undefined && others.length === 0 && only.descriptor?.platform === undefined) return only;
  const has = manifests.map((manifest) => platformName(manifest.platform));
  throw new ConvertError(
    'other-platform',
    `${from.source.name} has no ${platformName(platform)} image, only ${has.join(', ') || 'other content'}; ` +
      'choose one with --platform or take --all-platforms',
  );
}

async function fetchParsed(
  { source, signal }: PlanSource,
  entry?: Descriptor,
): Promise<ReturnType<typeof parseManifest>> {
  const { bytes, mediaType } = await source.fetchManifest(entry?.digest, signal);
  return parseManifest(bytes, mediaType);
}

async function readImage(
  from: PlanSource,
  descriptor: Descriptor | undefined,
  manifest: ImageManifest,
): Promise<PlannedImage> {
  const unfit = whyUnfit(manifest);
  if (unfit !== undefined) throw unsupported(from, unfit);
  const { source, signal } = from;
  const config = parseImageConfig(await source.readBlob(manifest.config.digest, maxConfigBytes, signal));
  const { layers } = manifest;
  if (config.rootfs.diff_ids.length === layers.length) return { kind: 'image', descriptor, manifest, config };
  throw unsupported(
    from,
    `its config names ${config.rootfs.diff_ids.length} layers, its manifest ${layers.length}; build the image again`,
  );
}

const attestationType = 'attestation-manifest';
const imageManifestTypes: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest];
const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerManifestList];
const configTypes: readonly string[] = [mediaTypes.ociConfig, mediaTypes.dockerConfig];

/** OCI or Docker, distributable or not; the compression is detected from the content. */
const layerType =
  /^application\/vnd\.(oci\.image\.layer(\.nondistributable)?\.v1\.tar(\+\w+)?|docker\.image\.rootfs(\.foreign)?\.diff\.tar(\.\w+)?)$/;

/** Judges by the descriptor alone; undefined if it may be an image or an index. */
function whyNoImage({ mediaType, platform, annotations }: Descriptor): string | undefined {
  if (annotations?.['vnd.docker.reference.type'] === attestationType || platform?.os === 'unknown') {
    return 'an attestation of an image that is converted';
  }
  if (imageManifestTypes.includes(mediaType) || indexTypes.includes(mediaType)) return undefined;
  return `a ${mediaType}, no image`;
}

function whyUnfit({ config, layers }: ImageManifest): string | undefined {
  if (!configTypes.includes(config.mediaType)) return `its config is ${config.mediaType}, so it is no container image`;
  const odd = layers.find(({ mediaType }) => !layerType.test(mediaType) || mediaType.endsWith('+encrypted'));
  return odd && `its layer ${odd.digest} is ${odd.mediaType}, no tar that can be read`;
}

function nameOf({ digest, platform }: Descriptor): string {
  return platform === undefined ? digest : `${digest} (${platformName(platform)})`;
}

function platformOf({ os, architecture, variant }: ImageConfig): Platform {
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

function platformName({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter((part) => part !== undefined).join('/');
}

function unsupported({ source }: PlanSource, reason: string): ConvertError {
  return new ConvertError('unsupported-image', `cannot convert ${source.name}: ${reason}`);
}
