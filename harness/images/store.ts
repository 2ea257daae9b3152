import type { Dirent } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, isDigest } from '../../snapshotter/registry/digest.ts';
import { type Descriptor, mediaTypes, parseManifest } from '../../snapshotter/registry/manifest.ts';
import type { ImageName } from './variants.ts';

/** An image in the files of our registry, read without it: whether it runs does not matter. */
export interface StoredImage {
  readonly name: ImageName;
  readonly digest: Digest;
  /** When the tag was written, milliseconds since the epoch. */
  readonly taggedAtMs: number;
  /** Config and layers. */
  readonly blobs: readonly Descriptor[];
}

/**
 * Reads distribution's storage layout: repositories/NAME/_manifests/tags/TAG/current/link holds a digest, and
 * blobs/sha256/XX/HEX/data the bytes. An image whose manifest is missing or is an index has no blobs. Empty where nothing was
 * pushed yet.
 */
export async function readStore(dataDir: string): Promise<ReadonlyMap<ImageName, StoredImage>> {
  const images = new Map<ImageName, StoredImage>();
  for (const repository of await repositoriesBelow(repositoriesPath(dataDir), '')) {
    const tags = tagsPath(dataDir, repository);
    for (const tag of await namesIn(tags)) {
      const link = join(tags, tag, 'current', 'link');
      const digest = (await readFile(link, 'utf8').catch(() => '')).trim();
      if (!isDigest(digest)) continue;
      const name = `${repository}:${tag}`;
      const { mtimeMs: taggedAtMs } = await stat(link);
      images.set(name, { name, digest, taggedAtMs, blobs: await readBlobs(dataDir, digest) });
    }
  }
  return images;
}

/** The directory of an image's tag. */
export function tagPath(dataDir: string, name: ImageName): string {
  const colon = name.lastIndexOf(':');
  return join(tagsPath(dataDir, name.slice(0, colon)), name.slice(colon + 1));
}

/** The bytes of these images' blobs, shared ones once. */
export function storedBytes(images: Iterable<StoredImage>): number {
  const sizes = new Map<string, number>();
  for (const { blobs } of images) for (const { digest, size } of blobs) sizes.set(digest, size);
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/** What its layers come to. */
export function layerBytes({ blobs }: StoredImage): number {
  return blobs.slice(1).reduce((sum, { size }) => sum + size, 0);
}

async function readBlobs(dataDir: string, digest: Digest): Promise<readonly Descriptor[]> {
  const hex = digest.slice('sha256:'.length);
  const path = join(rootPath(dataDir), 'blobs', 'sha256', hex.slice(0, 2), hex, 'data');
  const bytes = await readFile(path).catch(() => undefined);
  if (bytes === undefined) return [];
  const parsed = parseManifest(bytes, mediaTypes.ociManifest);
  return parsed.kind === 'manifest' ? [parsed.manifest.config, ...parsed.manifest.layers] : [];
}

async function repositoriesBelow(directory: string, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await namesIn(join(directory, prefix))) {
    if (name === '_manifests') found.push(prefix);
    else if (!name.startsWith('_')) found.push(...(await repositoriesBelow(directory, join(prefix, name))));
  }
  return found;
}

async function namesIn(directory: string): Promise<string[]> {
  const entries: Dirent[] = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

function rootPath(dataDir: string): string {
  return join(dataDir, 'data', 'docker', 'registry', 'v2');
}

function repositoriesPath(dataDir: string): string {
  return join(rootPath(dataDir), 'repositories');
}

function tagsPath(dataDir: string, repository: string): string {
  return join(repositoriesPath(dataDir), repository, '_manifests', 'tags');
}
