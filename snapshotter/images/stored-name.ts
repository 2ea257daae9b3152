/** What an image is called where it is kept as files, known before it is opened: an archive of gigabytes is only looked through. */
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { mediaTypes, parseManifest } from '../registry/manifest.ts';
import { windowedReader } from '../tar/file-reader.ts';
import { scanTar } from '../tar/tar.ts';
import { isNamed, maxManifestBytes, namesOf } from './layout-source.ts';
import type { ImageLocation } from './location.ts';

/**
 * The name or tag of the image at `location`, as it is written there; a full name before a tag. Undefined where nothing names it,
 * where it is in a registry or an engine, and where it cannot be read as it is (a compressed archive): opening it says why.
 */
export function storedName(location: ImageLocation): string | undefined {
  try {
    switch (location.kind) {
      case 'oci':
        return nameInIndex(readSmallFile(join(location.directory, 'index.json')), location.tag);
      case 'docker-archive':
        return nameInArchive(location.path, location.image);
      default:
        return undefined;
    }
  } catch {
    return undefined;
  }
}

function nameInIndex(index: Buffer, wanted: string | undefined): string | undefined {
  const parsed = parseManifest(index, mediaTypes.ociIndex);
  if (parsed.kind !== 'index') return undefined;
  const all = parsed.index.manifests;
  const fitting = wanted === undefined ? all : all.filter((manifest) => isNamed(manifest, wanted));
  if (new Set(fitting.map(({ digest }) => digest)).size !== 1) return undefined;
  // The tag comes first, and says less.
  return namesOf(fitting[0]!).at(-1);
}

function nameInArchive(path: string, wanted: string | undefined): string | undefined {
  if (wanted !== undefined) return wanted;
  const files = readArchiveIndexes(path);
  const images: unknown = files.manifest && JSON.parse(files.manifest.toString());
  if (Array.isArray(images) && images.length === 1) {
    const [name] = (images[0] as { readonly RepoTags?: readonly unknown[] | null }).RepoTags ?? [];
    if (typeof name === 'string') return name;
  }
  return files.index && nameInIndex(files.index, undefined);
}

function readArchiveIndexes(path: string): { readonly index?: Buffer; readonly manifest?: Buffer } {
  const { size } = statFile(path);
  const file = openSync(path, 'r');
  try {
    const read = windowedReader(file, size);
    const files: { index?: Buffer; manifest?: Buffer } = {};
    for (const { name, type, payloadOffset, sizeBytes } of scanTar(read, size)) {
      if (type !== 'reg' || sizeBytes > maxManifestBytes) continue;
      if (name === 'index.json') files.index = Buffer.from(read(payloadOffset, sizeBytes));
      if (name === 'manifest.json') files.manifest = Buffer.from(read(payloadOffset, sizeBytes));
    }
    return files;
  } finally {
    closeSync(file);
  }
}

function readSmallFile(path: string): Buffer {
  if (statFile(path).size > maxManifestBytes) throw new RangeError(`${path} is no index`);
  return readFileSync(path);
}

/** Opening a pipe would wait for its writer. */
function statFile(path: string): { readonly size: number } {
  const found = statSync(path);
  if (!found.isFile()) throw new TypeError(`${path} is no file`);
  return found;
}
