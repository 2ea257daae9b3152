import { arch, platform } from 'node:process';
import { type Digest, isDigest } from './digest.ts';
import { RegistryError } from './error.ts';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly urls?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
}

export interface Platform {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
}

export interface ImageManifest {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ImageIndex {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The fields of an image config that are read here; rewriting one must preserve the others. */
export interface ImageConfig {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly rootfs: { readonly type: string; readonly diff_ids: readonly string[] };
  readonly history?: readonly Readonly<Record<string, unknown>>[];
}

export type ParsedManifest =
  | { readonly kind: 'manifest'; readonly manifest: ImageManifest }
  | { readonly kind: 'index'; readonly index: ImageIndex };

export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;

/** For the Accept header: what `parseManifest` reads. */
export const manifestMediaTypes: readonly string[] = [
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerManifestList,
];

const maxDescriptors = 10_000;

/** Reads a manifest or an index, OCI or Docker; throws RegistryError `protocol` naming what is wrong with it. */
export function parseManifest(bytes: Uint8Array, mediaType: string): ParsedManifest {
  const value = parseObject(bytes, 'read manifest');
  if (value.schemaVersion !== 2) throw malformed('only schema version 2 is read');
  const type = typeof value.mediaType === 'string' ? value.mediaType : mediaType;
  // For an unknown media type, the list that is present decides.
  const isIndex =
    type === mediaTypes.ociIndex ||
    type === mediaTypes.dockerManifestList ||
    (!manifestMediaTypes.includes(type) && Array.isArray(value.manifests));
  if (isIndex) {
    checkDescriptors(value.manifests, 'manifests');
    return { kind: 'index', index: value as unknown as ImageIndex };
  }
  checkDescriptor(value.config, 'config');
  const layers = value.layers ?? [];
  checkDescriptors(layers, 'layers');
  return { kind: 'manifest', manifest: { ...value, layers } as unknown as ImageManifest };
}

/** Reads an image config; throws RegistryError `protocol`. */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const value = parseObject(bytes, 'read image config');
  const rootfs = value.rootfs as { diff_ids?: unknown } | null | undefined;
  // Go writes an empty list as null.
  const diffIds = rootfs?.diff_ids === null ? [] : rootfs?.diff_ids;
  if (!Array.isArray(diffIds) || !diffIds.every((id) => typeof id === 'string' && isDigest(id))) {
    throw malformed('rootfs.diff_ids is not a list of digests', 'read image config');
  }
  return { ...value, rootfs: { ...rootfs, diff_ids: diffIds } } as unknown as ImageConfig;
}

/** This machine's platform as image indexes name it. */
export function hostPlatform(): Platform {
  const architectures: Readonly<Record<string, string>> = {
    x64: 'amd64',
    ia32: '386',
    mips: 'mipsle',
    mipsel: 'mipsle',
  };
  return { os: platform === 'linux' ? 'linux' : platform, architecture: architectures[arch] ?? arch };
}

/** The manifest for a platform: an exact variant before none; attestations never match, even without `unknown/unknown`. */
export function pickPlatform(index: ImageIndex, wanted: Platform = hostPlatform()): Descriptor | undefined {
  const images = index.manifests.filter(
    ({ annotations }) => annotations?.['vnd.docker.reference.type'] !== 'attestation-manifest',
  );
  const fitting = images.filter(
    ({ platform: own }) => own !== undefined && own.os === wanted.os && own.architecture === wanted.architecture,
  );
  return (
    fitting.find(({ platform: own }) => normalVariant(own!) === normalVariant(wanted)) ??
    fitting.find(({ platform: own }) => own!.variant === undefined) ??
    (wanted.variant === undefined ? fitting[0] : undefined) ??
    (images.length === 1 && images[0]!.platform === undefined ? images[0] : undefined)
  );
}

/** arm64 is v8 and amd64 is v1 unless they say otherwise (OCI image-spec, "Platform Variants"). */
function normalVariant({ architecture, variant }: Platform): string | undefined {
  if (architecture === 'arm64' && variant === 'v8') return undefined;
  return architecture === 'amd64' && variant === 'v1' ? undefined : variant;
}

function parseObject(bytes: Uint8Array, operation: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw malformed('it is not JSON', operation);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('not an object', operation);
  return value as Record<string, unknown>;
}

function checkDescriptors(value: unknown, where: string): void {
  if (!Array.isArray(value)) throw malformed(`${where} is not a list`);
  if (value.length > maxDescriptors) throw malformed(`${where} has more than ${maxDescriptors} entries`);
  for (const [index, descriptor] of value.entries()) checkDescriptor(descriptor, `${where}[${index}]`);
}

function checkDescriptor(value: unknown, where: string): void {
  const descriptor = value as Partial<Record<keyof Descriptor, unknown>> | null | undefined;
  if (typeof descriptor?.mediaType !== 'string') throw malformed(`${where} has no mediaType`);
  if (typeof descriptor.digest !== 'string' || !isDigest(descriptor.digest)) {
    throw malformed(`${where}.digest is not a sha256 digest`);
  }
  if (!Number.isSafeInteger(descriptor.size) || (descriptor.size as number) < 0) {
    throw malformed(`${where}.size is not a size`);
  }
  const { urls, annotations } = descriptor;
  if (urls !== undefined && !(Array.isArray(urls) && urls.every((url) => typeof url === 'string'))) {
    throw malformed(`${where}.urls is not a list of URLs`);
  }
  if (annotations !== undefined && annotations !== null && typeof annotations !== 'object') {
    throw malformed(`${where}.annotations is not an object`);
  }
}

function malformed(detail: string, operation = 'read manifest'): RegistryError {
  return new RegistryError('protocol', detail, { operation });
}
