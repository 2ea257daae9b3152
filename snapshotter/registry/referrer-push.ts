import { type Digest, digestOf } from './digest.ts';
import { RegistryError } from './error.ts';
import { type Descriptor, mediaTypes } from './manifest.ts';
import type { Pusher } from './push.ts';
import { type Referrer, type ReferrerIndex, type ReferrerReader, referrersTag } from './referrers.ts';
import { formatReference, type Reference } from './reference.ts';
import type { Sender } from './sender.ts';

/** An artifact of one small blob that refers to an image. */
export interface Artifact {
  /** The image, whose repository it goes to. */
  readonly reference: Reference;
  readonly subject: Descriptor;
  /** Of the artifact and of its blob. */
  readonly artifactType: string;
  readonly blob: Buffer;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface PublishedArtifact {
  readonly digest: Digest;
  /** How the registry lists it. */
  readonly listedBy: 'api' | 'tag';
  /** Earlier ones of the same type and subject that the registry would not delete. */
  readonly left: readonly Digest[];
}

const emptyConfig = Buffer.from('{}');
/** Of the index under the tag, while others push to it. */
const maxMerges = 5;

/**
 * Pushes an artifact in place of earlier ones of its type and subject. Referrers of other types stay as they are. Where the
 * registry does not list referrers, keeps the index under the tag.
 */
export class ReferrerPublisher {
  readonly #sender: Sender;
  readonly #pusher: Pusher;
  readonly #reader: ReferrerReader;

  constructor(sender: Sender, pusher: Pusher, reader: ReferrerReader) {
    this.#sender = sender;
    this.#pusher = pusher;
    this.#reader = reader;
  }

  async publish(artifact: Artifact, signal: AbortSignal): Promise<PublishedArtifact> {
    const { reference, blob } = artifact;
    for (const bytes of [emptyConfig, blob]) await this.#pushBytes(reference, bytes, signal);
    const manifest = encodeArtifact(artifact);
    const { registry, repository } = reference;
    const named = { registry, repository, digest: digestOf(manifest) };
    const { digest, listsSubject } = await this.#pusher.pushManifest(named, mediaTypes.ociManifest, manifest, signal);
    const own = describeArtifact(artifact, manifest);
    const earlier = listsSubject
      ? await this.#listEarlier(artifact, own, signal)
      : await this.#merge(artifact, own, signal);
    const left: Digest[] = [];
    for (const old of earlier) {
      // An index under the tag no longer names it, so there it is only garbage.
      const isGone = await this.#pusher.deleteManifest(reference, old, signal);
      if (!isGone && listsSubject) left.push(old);
    }
    return { digest, listedBy: listsSubject ? 'api' : 'tag', left };
  }

  async #pushBytes(reference: Reference, bytes: Buffer, signal: AbortSignal): Promise<void> {
    const digest = digestOf(bytes);
    if (await this.#pusher.hasBlob(reference, digest, signal)) return;
    const open = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes;
    };
    await this.#pusher.pushBlob(reference, { digest, sizeBytes: bytes.length, open }, signal);
  }

  async #listEarlier(artifact: Artifact, own: Referrer, signal: AbortSignal): Promise<Digest[]> {
    const query = { ...artifact, subject: artifact.subject.digest };
    const endpoint = this.#sender.pushEndpoint(artifact.reference.registry);
    const listed = (await this.#reader.listByApi(endpoint, query, signal)) ?? [];
    return listed.flatMap(({ digest }) => (digest === own.digest ? [] : [digest]));
  }

  /** Registries have no conditional PUT, so the index is read again; others may have written it meanwhile. */
  async #merge(artifact: Artifact, own: Referrer, signal: AbortSignal): Promise<readonly Digest[]> {
    const query = { ...artifact, subject: artifact.subject.digest };
    const endpoint = this.#sender.pushEndpoint(artifact.reference.registry);
    const earlier = new Set<Digest>();
    for (let attempt = 0; ; attempt++) {
      const { index, replaced } = mergeReferrer(await this.#reader.readTag(endpoint, query, signal), own);
      for (const digest of replaced) earlier.add(digest);
      if (index === undefined) return [...earlier];
      if (attempt === maxMerges) {
        throw new RegistryError('protocol', `it is overwritten each time; publish again later`, {
          operation: `keep referrers ${formatReference(referrersTag(query))}`,
        });
      }
      await this.#pusher.pushManifest(referrersTag(query), mediaTypes.ociIndex, encodeJson(index), signal);
    }
  }
}

/** `index` is undefined if there is nothing to change. What belongs to others is kept as it is, with fields unknown here. */
export function mergeReferrer(
  before: ReferrerIndex | undefined,
  own: Referrer,
): { readonly index: ReferrerIndex | undefined; readonly replaced: readonly Digest[] } {
  const listed = before?.manifests ?? [];
  const earlier = listed.filter(({ artifactType }) => artifactType === own.artifactType);
  const replaced = [...new Set(earlier.map(({ digest }) => digest))].filter((digest) => digest !== own.digest);
  if (earlier.length === 1 && replaced.length === 0) return { index: undefined, replaced };
  const others = listed.filter(({ artifactType }) => artifactType !== own.artifactType);
  const rest = before ?? ({ schemaVersion: 2, mediaType: mediaTypes.ociIndex } as const);
  return { index: { ...rest, manifests: [...others, own] }, replaced };
}

/** OCI image-spec 1.1, "Guidelines for Artifact Usage": a manifest with an empty config. */
function encodeArtifact({ subject, artifactType, blob, annotations }: Artifact): Buffer {
  const { mediaType, digest, size } = subject;
  return encodeJson({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType,
    config: { mediaType: mediaTypes.ociEmpty, digest: digestOf(emptyConfig), size: emptyConfig.length },
    layers: [{ mediaType: artifactType, digest: digestOf(blob), size: blob.length }],
    subject: { mediaType, digest, size },
    annotations,
  });
}

/** As the API of registries describes it. */
function describeArtifact({ artifactType, annotations }: Artifact, manifest: Buffer): Referrer {
  const { length: size } = manifest;
  return { mediaType: mediaTypes.ociManifest, digest: digestOf(manifest), size, artifactType, annotations };
}

function encodeJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
