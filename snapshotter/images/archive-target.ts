/**
 * Writes an image as a tar that `docker load`, podman, skopeo and `ctr images import` read: an OCI image layout with Docker's
 * manifest.json beside it. Blobs are appended as they come; the file appears under its name when the image is tagged.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { type Digest, digestOf } from '../registry/digest.ts';
import { type Descriptor, parseManifest } from '../registry/manifest.ts';
import type { BlobUpload } from '../registry/push.ts';
import { formatReference, parseReference } from '../registry/reference.ts';
import { roundUpToBlock } from '../tar/tar-fields.ts';
import { emptyFile, encodeEntryHeader, endOfArchive } from '../tar/tar-header.ts';
import { ImageError } from './error.ts';
import type { ImageTarget } from './image.ts';
import { imageNameAnnotation, refNameAnnotation } from './layout-source.ts';
import { encodeIndex, layoutVersion } from './layout-target.ts';
import { blobPath, verifyPieces } from './stored-file.ts';

export interface ArchiveTargetOptions {
  readonly path: string;
  /** The name that `docker load` gives to the image; none leaves it without one. */
  readonly image: string | undefined;
  /** For messages. */
  readonly name: string;
  /** Called with the archive before it is renamed to `path`; then it is removed instead. */
  readonly deliver?: (path: string, signal: AbortSignal) => Promise<void>;
}

export function archiveTarget({ path, image, name, deliver }: ArchiveTargetOptions): ImageTarget {
  const writer = new ArchiveWriter(`${path}.${randomUUID()}.partial`);
  const written = new Set<Digest>();
  const pushBlob = async (blob: BlobUpload, signal: AbortSignal): Promise<void> => {
    if (written.has(blob.digest)) return;
    await writer.append(blobPath(blob.digest), blob.sizeBytes, verifyPieces(blob.open(), blob.digest, name), signal);
    written.add(blob.digest);
  };
  const pushManifest = async (_mediaType: string, bytes: Buffer, signal: AbortSignal): Promise<Digest> => {
    const digest = digestOf(bytes);
    await pushBlob({ digest, sizeBytes: bytes.length, open: () => one(bytes) }, signal);
    return digest;
  };
  return {
    name,
    takesIndex: false,
    hasBlob: async (digest) => written.has(digest),
    mountBlob: async () => false,
    pushBlob,
    pushManifest,
    tag: async (mediaType, bytes, signal) => {
      const digest = await pushManifest(mediaType, bytes, signal);
      const files = indexFiles({ mediaType, digest, size: bytes.length }, bytes, image, name);
      for (const [file, content] of files) await writer.append(file, content.length, one(content), signal);
      await writer.finish();
      if (deliver === undefined) await rename(writer.path, path);
      else await deliver(writer.path, signal);
      return digest;
    },
    close: () => writer.discard(),
  };
}

/** Docker's default tag and full name, as `docker load` lists them. */
function indexFiles(root: Descriptor, bytes: Buffer, image: string | undefined, name: string): [string, Buffer][] {
  const parsed = parseManifest(bytes, root.mediaType);
  if (parsed.kind !== 'manifest') {
    throw new ImageError('unsupported', `cannot write ${name}: it holds one image; choose one with --platform`);
  }
  const reference = image === undefined ? undefined : parseReference(image);
  const fullName = reference === undefined ? undefined : formatReference(reference);
  const annotations = fullName && { [imageNameAnnotation]: fullName, [refNameAnnotation]: reference?.tag ?? 'latest' };
  const { config, layers } = parsed.manifest;
  const saved = {
    Config: blobPath(config.digest),
    RepoTags: fullName === undefined ? [] : [fullName.replace(/^docker\.io\/(library\/)?/, '')],
    Layers: layers.map(({ digest }) => blobPath(digest)),
  };
  return [
    ['oci-layout', layoutVersion],
    ['index.json', encodeIndex([annotations ? { ...root, annotations } : root])],
    ['manifest.json', Buffer.from(JSON.stringify([saved]))],
  ];
}

/** Owns the descriptor of a growing tar. */
class ArchiveWriter {
  readonly path: string;
  #file: FileHandle | undefined;
  /** Appends take turns. */
  #last: Promise<void> = Promise.resolve();
  #failed = false;

  constructor(path: string) {
    this.path = path;
  }

  append(name: string, sizeBytes: number, pieces: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
    const turn = this.#last.then(() => this.#append(name, sizeBytes, pieces, signal));
    this.#last = turn.catch(() => {});
    return turn;
  }

  async finish(): Promise<void> {
    await this.#file?.appendFile(endOfArchive);
    await this.#close();
  }

  /** Removes the file unless it was renamed. */
  async discard(): Promise<void> {
    await this.#last;
    await this.#close();
    await rm(this.path, { force: true });
  }

  async #append(name: string, sizeBytes: number, pieces: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#failed)
      throw new ImageError('malformed', `cannot go on with ${this.path}: an earlier file was cut short`);
    this.#file ??= await open(this.path, 'wx', 0o644);
    this.#failed = true;
    await this.#file.appendFile(encodeEntryHeader({ ...emptyFile, name, sizeBytes }));
    let writtenBytes = 0;
    for await (const piece of pieces) {
      signal.throwIfAborted();
      writtenBytes += piece.length;
      if (writtenBytes > sizeBytes) break;
      await this.#file.appendFile(piece);
    }
    if (writtenBytes !== sizeBytes)
      throw new ImageError('malformed', `${name} has not the ${sizeBytes} bytes announced`);
    await this.#file.appendFile(Buffer.alloc(roundUpToBlock(sizeBytes) - sizeBytes));
    this.#failed = false;
  }

  async #close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }
}

async function* one(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield bytes;
}
