/**
 * Reads what `docker save` writes: `manifest.json` with a config and layer tars per image (Docker Image Specification v1.2,
 * "Combined Image JSON + Filesystem Changeset Format"), or an OCI image layout as well.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { type Digest, digester, digestOf } from '../registry/digest.ts';
import { type Descriptor, mediaTypes, parseImageConfig } from '../registry/manifest.ts';
import { TarError } from '../tar/error.ts';
import { windowedReader } from '../tar/file-reader.ts';
import { normaliseName, scanTar, type TarEntry } from '../tar/tar.ts';
import { ImageError } from './error.ts';
import type { ImageSource } from './image.ts';
import { isSameName } from './location.ts';
import { blobSource, maxManifestBytes, noSuchImage, openLayout } from './layout-source.ts';
import { type FileTree, readPieces, readWhole, type StoredFile } from './stored-file.ts';

export interface ArchiveOptions {
  readonly path: string;
  /** Which of several images, by name. */
  readonly image: string | undefined;
  /** For messages. */
  readonly name: string;
  /** An archive compressed as a whole is unpacked below it. */
  readonly scratch: string;
  /** Called when the source is closed, or when opening it fails. */
  readonly release?: () => Promise<void>;
  readonly signal: AbortSignal;
}

/** Throws ImageError; file errors are thrown as they are. */
export async function openArchive(options: ArchiveOptions): Promise<ImageSource> {
  const { image, name, release = async () => {} } = options;
  let unpacked: string | undefined;
  const close = async (): Promise<void> => {
    if (unpacked !== undefined) await rm(unpacked, { recursive: true, force: true });
    await release();
  };
  try {
    const path = await unpackArchive(options, (directory) => {
      unpacked = directory;
    });
    const tree = await indexTar(path, name);
    if ((await tree.find('index.json')) !== undefined) return await openLayout(tree, image, close);
    return await openClassic(tree, image, close);
  } catch (error) {
    await close();
    throw error;
  }
}

/** The path of the uncompressed tar. `docker save | gzip` is what docker load reads too. */
async function unpackArchive(
  { path, scratch, signal }: ArchiveOptions,
  onDirectory: (path: string) => void,
): Promise<string> {
  const compression = await compressionOf({ path, offset: 0 });
  if (compression === 'none') return path;
  const directory = await mkdtemp(join(scratch, 'archive-'));
  onDirectory(directory);
  const unpacked = join(directory, 'archive.tar');
  const inflater = compression === 'gzip' ? createGunzip() : createZstdDecompress();
  try {
    await pipeline(createReadStream(path), inflater, createWriteStream(unpacked), { signal });
  } catch (error) {
    if (!/^(Z_|ZSTD_)/.test((error as NodeJS.ErrnoException).code ?? '')) throw error;
    throw new ImageError(
      'malformed',
      `cannot read ${path}: its ${compression} stream is damaged; save the image again`,
    );
  }
  return unpacked;
}

type Compression = 'none' | 'gzip' | 'zstd';

async function compressionOf({ path, offset }: Pick<StoredFile, 'path' | 'offset'>): Promise<Compression> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, offset);
    if (bytesRead >= 2 && buffer.readUInt16BE(0) === 0x1f8b) return 'gzip';
    return bytesRead === 4 && buffer.readUInt32LE(0) === 0xfd2fb528 ? 'zstd' : 'none';
  } finally {
    await file.close();
  }
}

/** Symbolic links of an archive lead from a layer that an image shares to where it is. */
const maxLinks = 8;
/** An image has at most some hundred layers. */
const maxEntries = 100_000;

async function indexTar(path: string, name: string): Promise<FileTree> {
  const entries = new Map<string, TarEntry>();
  const file = await open(path);
  try {
    const { size } = await file.stat();
    for (const entry of scanTar(windowedReader(file.fd, size), size)) {
      entries.set(entry.name, entry);
      if (entries.size > maxEntries) throw new ImageError('malformed', `cannot read ${name}: it has too many files`);
    }
  } catch (error) {
    if (!(error instanceof TarError)) throw error;
    throw new ImageError('malformed', `cannot read ${name}: ${error.detail}; save the image again`, { cause: error });
  } finally {
    await file.close();
  }
  return {
    name,
    find: async (wanted) => {
      let at = normaliseName(wanted);
      for (let links = 0; links <= maxLinks; links++) {
        const entry = entries.get(at);
        if (entry?.type === 'symlink') at = normaliseName(posix.join(posix.dirname(at), entry.linkName));
        else if (entry?.type === 'hardlink') at = normaliseName(entry.linkName);
        else if (entry?.type !== 'reg' || entry.extents !== undefined) return undefined;
        else return { path, offset: entry.payloadOffset, sizeBytes: entry.sizeBytes };
      }
      return undefined;
    },
  };
}

interface ClassicImage {
  readonly config: string;
  readonly names: readonly string[];
  readonly layers: readonly string[];
}

async function openClassic(
  tree: FileTree,
  wanted: string | undefined,
  close: () => Promise<void>,
): Promise<ImageSource> {
  const { config, layers } = chooseImage(tree, await readImages(tree), wanted);
  const configBytes = await readWhole(await fileOf(tree, config), maxManifestBytes, `${config} of ${tree.name}`);
  const diffIds = parseImageConfig(configBytes).rootfs.diff_ids as Digest[];
  if (diffIds.length !== layers.length) {
    throw malformed(tree, `its config names ${diffIds.length} layers, its manifest ${layers.length}`);
  }
  const configDigest = digestOf(configBytes);
  const files = new Map([[configDigest, await fileOf(tree, config)]]);
  const descriptors: Descriptor[] = [];
  for (const [index, layer] of layers.entries()) {
    const file = await fileOf(tree, layer);
    const descriptor = await describeLayer(file, diffIds[index]!);
    files.set(descriptor.digest, file);
    descriptors.push(descriptor);
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: configDigest, size: configBytes.length },
    layers: descriptors,
  };
  const root = { bytes: Buffer.from(JSON.stringify(manifest)), mediaType: mediaTypes.ociManifest };
  return blobSource({ name: tree.name, blobFile: async (digest) => files.get(digest), root, close });
}

async function readImages(tree: FileTree): Promise<ClassicImage[]> {
  const file = await tree.find('manifest.json');
  if (file === undefined) throw malformed(tree, 'it has neither index.json nor manifest.json');
  let images: unknown;
  try {
    images = JSON.parse((await readWhole(file, maxManifestBytes, `manifest.json of ${tree.name}`)).toString());
  } catch (error) {
    if (error instanceof ImageError) throw error;
  }
  if (!Array.isArray(images)) throw malformed(tree, 'its manifest.json is no list');
  return images.map((image) => {
    const { Config: config, RepoTags, Layers } = (image ?? {}) as Readonly<Record<string, unknown>>;
    const [names, layers] = [RepoTags ?? [], Layers ?? []];
    if (typeof config !== 'string' || !isTexts(names) || !isTexts(layers)) {
      throw malformed(tree, 'its manifest.json names no config or layers');
    }
    return { config, names, layers };
  });
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function chooseImage(tree: FileTree, images: readonly ClassicImage[], wanted: string | undefined): ClassicImage {
  const fitting =
    wanted === undefined ? images : images.filter(({ names }) => names.some((name) => isSameName(name, wanted)));
  if (fitting.length === 1) return fitting[0]!;
  const has = images.map(({ names, config }) => names[0] ?? config);
  throw noSuchImage(
    tree.name,
    has,
    wanted === undefined ? 'name one of them' : `there is no ${JSON.stringify(wanted)}`,
  );
}

async function fileOf(tree: FileTree, path: string): Promise<StoredFile> {
  const file = await tree.find(path);
  if (file === undefined) throw malformed(tree, `${path} is missing`);
  return file;
}

/** An uncompressed layer has its DiffID as digest, which is checked when it is read; others are hashed. */
async function describeLayer(file: StoredFile, diffId: Digest): Promise<Descriptor> {
  const compression = await compressionOf(file);
  if (compression === 'none') return { mediaType: mediaTypes.ociLayer, digest: diffId, size: file.sizeBytes };
  const state = digester();
  for await (const piece of readPieces(file)) state.update(piece);
  const mediaType = compression === 'gzip' ? mediaTypes.ociLayerGzip : mediaTypes.ociLayerZstd;
  return { mediaType, digest: state.digest(), size: file.sizeBytes };
}

function malformed({ name }: FileTree, what: string): ImageError {
  return new ImageError('malformed', `cannot read ${name}: ${what}; save the image again`);
}
