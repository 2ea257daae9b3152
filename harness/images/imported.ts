import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { AccessRecord } from '../../snapshotter/convert/accesses.ts';
import { ConvertError } from '../../snapshotter/convert/error.ts';
import { type PlannedImage, planImage } from '../../snapshotter/convert/image-plan.ts';
import type { ImageSource, ImageTarget } from '../../snapshotter/images/image.ts';
import { parseLocation } from '../../snapshotter/images/location.ts';
import { openSource } from '../../snapshotter/images/open.ts';
import { registryTarget } from '../../snapshotter/images/registry-image.ts';
import type { RegistryClient } from '../../snapshotter/registry/client.ts';
import { type Digest, digester, isDigest } from '../../snapshotter/registry/digest.ts';
import { type Descriptor, hostPlatform, mediaTypes, parseManifest } from '../../snapshotter/registry/manifest.ts';
import { RegistryError } from '../../snapshotter/registry/error.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import type { ImportedImage } from '../../workloads/workload.ts';
import { HarnessError } from '../cli/error.ts';
import { openAccess } from '../registry/access.ts';
import { asOci, copyBlob, copyImage } from './copy.ts';
import { keyOf } from './key.ts';
import { hasImage, type ImageName } from './variants.ts';

/** On each layer of a copy: the digest that it has where it was copied from. Conversions keep it. */
const sourceDigestAnnotation = 'io.github.stargz-bench.source-digest';

export interface ImportRequest {
  /** `host:port` of the registry that it is copied to. */
  readonly registry: string;
  readonly client: RegistryClient;
  /** For layers while they are compressed. */
  readonly scratch: string;
  /** For the registry that it is copied from: see openAccess. */
  readonly hostsDirectory?: string | undefined;
  readonly onStep: (detail: string) => void;
}

/**
 * Copies an image for this machine into the registry, as `NAME:legacy-KEY`, unless it is there. Uncompressed layers, as a Docker
 * Engine hands them out, are compressed with gzip, as a push of it would. Returns KEY, by which the image's content is
 * known. Throws HarnessError, ImageError or RegistryError: one line.
 */
export async function ensureImported(
  { name, source: location }: ImportedImage,
  { registry, client, scratch, hostsDirectory, onStep }: ImportRequest,
  signal: AbortSignal,
): Promise<string> {
  await using stack = new AsyncDisposableStack();
  const { client: sourceClient } = stack.use(openAccess(hostsDirectory));
  await mkdir(scratch, { recursive: true });
  onStep(`${location}: read`);
  const source = await openSource(parseLocation(location), { client: sourceClient, scratch }, signal).catch(
    (cause: NodeJS.ErrnoException) => {
      // Errors of images and registries are lines already.
      if (cause.path === undefined) throw cause;
      throw new HarnessError('unsupported-image', `cannot read ${cause.path} (${cause.code}) for ${location}`, {
        remedy: 'check the path',
        cause,
      });
    },
  );
  stack.defer(() => source.close());
  const planned = await planForHost(source, signal);
  const { config, layers } = planned.manifest;
  const key = keyOf([config.digest, layers.map(({ digest }) => digest)]);
  const copy: ImageName = `${name}:legacy-${key}`;
  if (await hasImage(client, `${registry}/${copy}`, signal)) return key;
  const target = registryTarget(client, parseReference(`${registry}/${copy}`));
  const onLayer = (index: number, count: number) => onStep(`${location}: copy layer ${index + 1} of ${count}`);
  const copyLayer = (layer: Descriptor) => importLayer(layer, { source, target, scratch }, signal);
  await copyImage({ source, target, onLayer, copyLayer }, signal);
  return key;
}

async function planForHost(source: ImageSource, signal: AbortSignal): Promise<PlannedImage> {
  const host = hostPlatform();
  try {
    return await planImage({ source, signal }, host);
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'not-found') {
      throw new HarnessError('unsupported-image', `there is no image ${source.name}`, {
        remedy: 'check its name and tag',
        cause: error,
      });
    }
    if (!(error instanceof ConvertError && error.code === 'other-platform')) throw error;
    const machine = `${host.os}/${host.architecture}`;
    throw new HarnessError('unsupported-image', `cannot run ${source.name}: it is not built for ${machine}`, {
      remedy: `build it with --platform ${machine}, or run on a machine that it is built for`,
      cause: error,
    });
  }
}

interface Copy {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  readonly scratch: string;
}

async function importLayer(
  layer: Descriptor,
  { source, target, scratch }: Copy,
  signal: AbortSignal,
): Promise<Descriptor> {
  const { digest, mediaType } = layer;
  const annotations = { ...layer.annotations, [sourceDigestAnnotation]: digest };
  if (isCompressed(mediaType)) {
    await copyBlob(source, target, layer, signal);
    return { ...asOci(layer), annotations };
  }
  const path = join(scratch, `${randomUUID()}.tar.gz`);
  try {
    const state = digester();
    const observe = async function* (pieces: AsyncIterable<Buffer>) {
      for await (const piece of pieces) {
        state.update(piece);
        yield piece;
      }
    };
    await pipeline(source.fetchBlob(layer, signal), createGzip(), observe, createWriteStream(path), { signal });
    const packed = { digest: state.digest(), sizeBytes: (await stat(path)).size };
    await target.pushBlob({ ...packed, open: () => createReadStream(path) }, signal);
    return { mediaType: mediaTypes.ociLayerGzip, digest: packed.digest, size: packed.sizeBytes, annotations };
  } finally {
    await rm(path, { force: true });
  }
}

function isCompressed(mediaType: string): boolean {
  return /[.+](gzip|zstd)$/.test(mediaType);
}

/** The record with the layers of the image that `recordedOn`, a conversion of a copy, was copied from. */
export async function recordOfSource(
  client: RegistryClient,
  recordedOn: string,
  accesses: readonly AccessRecord[],
  signal: AbortSignal,
): Promise<AccessRecord[]> {
  const { bytes, mediaType } = await client.fetchManifest(parseReference(recordedOn), signal);
  const parsed = parseManifest(bytes, mediaType);
  const layers = parsed.kind === 'manifest' ? parsed.manifest.layers : [];
  const origins = new Map<Digest, Digest>();
  for (const { digest, annotations } of layers) {
    const origin = annotations?.[sourceDigestAnnotation];
    if (origin !== undefined && isDigest(origin)) origins.set(digest, origin);
  }
  return accesses.map((access) => ({ ...access, layer: origins.get(access.layer) ?? access.layer }));
}
