/** Reads images from an OCI image layout: a directory, or the tar that Docker 25 and later save. */
import { type Digest, digestOf } from '../registry/digest.ts';
import type { FetchedManifest } from '../registry/client.ts';
import { type Descriptor, type ImageIndex, mediaTypes, parseManifest } from '../registry/manifest.ts';
import { ImageError } from './error.ts';
import type { ImageSource } from './image.ts';
import { isSameName } from './location.ts';
import {
  blobPath,
  type FileTree,
  rangeOf,
  readPieces,
  readWhole,
  type StoredFile,
  verifyPieces,
} from './stored-file.ts';

/** containerd's limit for what it reads into memory. */
export const maxManifestBytes = 8 * 1024 * 1024;

/** The annotation that holds an image's tag, or its full name. */
export const refNameAnnotation = 'org.opencontainers.image.ref.name';
/** containerd's and Docker's annotation for the full name. */
export const imageNameAnnotation = 'io.containerd.image.name';

/** `wanted`: a tag or a full name. Throws ImageError; closing is the caller's. */
export async function openLayout(
  tree: FileTree,
  wanted: string | undefined,
  close: () => Promise<void>,
): Promise<ImageSource> {
  const file = await tree.find('index.json');
  if (file === undefined) {
    throw new ImageError(
      'not-found',
      `cannot read ${tree.name}: there is no image layout (no index.json); check the path`,
    );
  }
  const bytes = await readWhole(file, maxManifestBytes, `index.json of ${tree.name}`);
  const parsed = parseManifest(bytes, mediaTypes.ociIndex);
  if (parsed.kind !== 'index')
    throw new ImageError('malformed', `cannot read ${tree.name}: its index.json is no index`);
  const root = chooseRoot(tree, parsed.index, wanted);
  const blobFile = (digest: Digest) => tree.find(blobPath(digest));
  return blobSource({ name: tree.name, blobFile, root: root ?? { bytes, mediaType: mediaTypes.ociIndex }, close });
}

export interface BlobFiles {
  readonly name: string;
  readonly blobFile: (digest: Digest) => Promise<StoredFile | undefined>;
  /** The image: where its manifest is, or the manifest itself. */
  readonly root: Descriptor | { readonly bytes: Buffer; readonly mediaType: string };
  readonly close: () => Promise<void>;
}

export function blobSource({ name, blobFile, root, close }: BlobFiles): ImageSource {
  const open = async (digest: Digest): Promise<StoredFile> => {
    const file = await blobFile(digest);
    if (file !== undefined) return file;
    throw new ImageError('not-found', `${name} is incomplete: it has no blob ${digest}; save or copy the image again`);
  };
  const readBlob = async (digest: Digest, limitBytes: number): Promise<Buffer> => {
    const bytes = await readWhole(await open(digest), limitBytes, `blob ${digest} of ${name}`);
    for await (const _piece of verifyPieces(one(bytes), digest, name));
    return bytes;
  };
  const fetchManifest = async (digest: Digest | undefined): Promise<FetchedManifest> => {
    if (digest === undefined && 'bytes' in root) return { ...root, digest: digestOf(root.bytes) };
    const wanted = digest ?? (root as Descriptor).digest;
    const mediaType = digest === undefined ? (root as Descriptor).mediaType : '';
    const bytes = await readBlob(wanted, maxManifestBytes);
    return { digest: wanted, mediaType: mediaTypeOf(bytes) ?? mediaType, bytes };
  };
  return {
    name,
    fetchManifest,
    readBlob,
    fetchBlob: async function* ({ digest }, signal) {
      yield* verifyPieces(readPieces(await open(digest), signal), digest, name);
    },
    readRange: async ({ digest }, start, end) => {
      const file = await open(digest);
      return await readWhole(rangeOf(file, start, end), end - start, `blob ${digest} of ${name}`);
    },
    close,
  };
}

/** Undefined if the index as a whole is the image, one manifest per platform. */
function chooseRoot(tree: FileTree, { manifests }: ImageIndex, wanted: string | undefined): Descriptor | undefined {
  const named = manifests.filter((manifest) => namesOf(manifest).length > 0);
  if (wanted === undefined) {
    if (manifests.length === 1) return manifests[0];
    if (manifests.length > 0 && named.length === 0) return undefined;
    throw notOne(tree, manifests, 'name one of them');
  }
  const found = manifests.filter((manifest) => isNamed(manifest, wanted));
  // Some writers list the manifests of one image's platforms under one name.
  const [first] = found;
  if (first !== undefined && new Set(found.map(({ digest }) => digest)).size === 1) return first;
  throw notOne(tree, manifests, `there is ${found.length === 0 ? 'no' : 'more than one'} ${JSON.stringify(wanted)}`);
}

export function isNamed({ annotations }: Descriptor, wanted: string): boolean {
  const fullName = annotations?.[imageNameAnnotation];
  return annotations?.[refNameAnnotation] === wanted || (fullName !== undefined && isSameName(fullName, wanted));
}

/** The tag, then the full name, as far as there are any. */
export function namesOf({ annotations }: Descriptor): string[] {
  return [annotations?.[refNameAnnotation], annotations?.[imageNameAnnotation]].filter((name) => name !== undefined);
}

function notOne({ name }: FileTree, manifests: readonly Descriptor[], why: string): ImageError {
  return noSuchImage(
    name,
    manifests.map((manifest) => namesOf(manifest)[0] ?? manifest.digest),
    why,
  );
}

const shownNames = 10;

export function noSuchImage(name: string, has: readonly string[], why: string): ImageError {
  const more = has.length > shownNames ? ` and ${has.length - shownNames} more` : '';
  const images = has.length === 0 ? 'no image' : `${has.slice(0, shownNames).join(', ')}${more}`;
  return new ImageError('not-found', `cannot choose an image of ${name}: ${why}; it has ${images}`);
}

/** Manifests that an index names must state their media type, except OCI's of before 1.1. */
function mediaTypeOf(bytes: Buffer): string | undefined {
  try {
    const { mediaType } = JSON.parse(bytes.toString()) as { readonly mediaType?: unknown };
    return typeof mediaType === 'string' ? mediaType : undefined;
  } catch {
    return undefined;
  }
}

async function* one(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield bytes;
}
