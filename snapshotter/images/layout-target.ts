/** Writes an image into an OCI image layout, beside what is there (image-spec, "Image Layout"). */
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Digest, digester, digestOf } from '../registry/digest.ts';
import { type Descriptor, type ImageIndex, mediaTypes, parseManifest } from '../registry/manifest.ts';
import type { BlobUpload } from '../registry/push.ts';
import type { ImageTarget } from './image.ts';
import { refNameAnnotation } from './layout-source.ts';
import { blobPath, directoryTree, readPieces, verifyPieces } from './stored-file.ts';

export const layoutVersion: Buffer = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/** Creates the directory when the first blob is written. */
export function layoutTarget(directory: string, tag: string | undefined, name: string): ImageTarget {
  const tree = directoryTree(directory, name);
  const hasBlob = async (digest: Digest): Promise<boolean> => {
    const file = await tree.find(blobPath(digest));
    if (file === undefined) return false;
    const state = digester();
    for await (const piece of readPieces(file)) state.update(piece);
    return state.digest() === digest;
  };
  const pushBlob = async ({ digest, open }: BlobUpload, signal: AbortSignal): Promise<void> => {
    await mkdir(join(directory, 'blobs/sha256'), { recursive: true });
    const staged = join(directory, `blobs/sha256/.${randomUUID()}`);
    try {
      await pipeline(verifyPieces(open(), digest, name), createWriteStream(staged, { flags: 'wx' }), { signal });
      await rename(staged, join(directory, blobPath(digest)));
    } finally {
      await rm(staged, { force: true });
    }
  };
  const pushManifest = async (_mediaType: string, bytes: Buffer, signal: AbortSignal): Promise<Digest> => {
    const digest = digestOf(bytes);
    const open = async function* () {
      yield bytes;
    };
    await pushBlob({ digest, sizeBytes: bytes.length, open }, signal);
    return digest;
  };
  return {
    name,
    takesIndex: true,
    hasBlob,
    mountBlob: async () => false,
    pushBlob,
    pushManifest,
    tag: async (mediaType, bytes, signal) => {
      const digest = await pushManifest(mediaType, bytes, signal);
      const entry: Descriptor = { mediaType, digest, size: bytes.length };
      const named = tag === undefined ? entry : { ...entry, annotations: { [refNameAnnotation]: tag } };
      const kept = (await readManifests(directory)).filter(
        (other) => other.digest !== digest && other.annotations?.[refNameAnnotation] !== tag,
      );
      await replaceFile(directory, 'oci-layout', layoutVersion);
      await replaceFile(directory, 'index.json', encodeIndex([...kept, named]));
      return digest;
    },
    close: async () => {},
  };
}

export function encodeIndex(manifests: readonly Descriptor[]): Buffer {
  const index: ImageIndex = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  return Buffer.from(JSON.stringify(index));
}

async function readManifests(directory: string): Promise<readonly Descriptor[]> {
  try {
    const parsed = parseManifest(await readFile(join(directory, 'index.json')), mediaTypes.ociIndex);
    return parsed.kind === 'index' ? parsed.index.manifests : [];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function replaceFile(directory: string, name: string, bytes: Buffer): Promise<void> {
  const staged = join(directory, `.${name}.${randomUUID()}`);
  await writeFile(staged, bytes, { flag: 'wx' });
  await rename(staged, join(directory, name));
}
