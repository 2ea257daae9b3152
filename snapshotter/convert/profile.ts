/** Publishes what a run of an image read as an access profile that refers to it, so that the image need not be converted again. */
import {
  ACCESS_PROFILE_BLOB,
  ACCESS_PROFILE_TYPE,
  type AccessProfile,
  CREATED,
  encodeAccessProfile,
  maxProfileBytes,
} from '../estargz/access-profile.ts';
import { HOT_RANGES_LABEL, TOC_DIGEST_LABEL } from '../estargz/names.ts';
import { registrySource } from '../images/registry-image.ts';
import type { ImageSource } from '../images/image.ts';
import type { RegistryClient } from '../registry/client.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import type { Descriptor, Platform } from '../registry/manifest.ts';
import type { PublishedArtifact } from '../registry/referrer-push.ts';
import { formatReference, type Reference } from '../registry/reference.ts';
import { type AccessRecord, assignAccesses, type PlacedAccess, type RecordedLayers } from './accesses.ts';
import { ConvertError } from './error.ts';
import { type LayerToc, listMembers } from './hot-list.ts';
import { planImage } from './image-plan.ts';
import { readRemoteToc } from './remote-toc.ts';

export interface ProfileOptions {
  readonly accesses: readonly AccessRecord[];
  /** The image that the accesses were recorded on, if it is another with the same layers. */
  readonly recordedOn?: ImageSource;
  readonly platform?: Platform;
  /** One line for whatever the user may not expect. */
  readonly onNotice?: (line: string) => void;
  readonly now?: () => Date;
  readonly signal: AbortSignal;
}

export interface PublishedProfile extends PublishedArtifact {
  /** The image's manifest, which the profile refers to. */
  readonly subject: Digest;
  readonly sizeBytes: number;
}

/** Throws ConvertError or RegistryError. An earlier profile of the image is replaced. */
export async function publishProfile(
  client: RegistryClient,
  reference: Reference,
  options: ProfileOptions,
): Promise<PublishedProfile> {
  const { recordedOn, platform, signal, onNotice = () => {}, now = () => new Date() } = options;
  const source = registrySource(client, reference);
  const { subject, layers } = await chooseManifest(source, platform, signal);
  const recordedLayers =
    recordedOn === undefined ? undefined : (await chooseManifest(recordedOn, platform, signal)).layers;
  const recorded = {
    source: layers.map(({ digest }) => digest),
    recordedOn: recordedLayers?.map(({ digest }) => digest),
  };
  const { order } = assignAccesses(ownAccesses(options.accesses, recorded, onNotice), recorded);
  const tocs = await readTocs(client, reference, layers, order, signal);
  const profile = buildProfile(order, layers, tocs);
  if (profile.size === 0) {
    throw new ConvertError(
      'unsupported-image',
      `cannot publish a profile of ${formatReference(reference)}: none of its layers that were read has a TOC; convert the image`,
    );
  }
  const blob = encodeAccessProfile(profile);
  const annotations = { [CREATED]: now().toISOString(), [ACCESS_PROFILE_BLOB]: digestOf(blob) };
  const artifact = { reference, subject, artifactType: ACCESS_PROFILE_TYPE, blob, annotations };
  const published = await client.publishArtifact(artifact, signal);
  if (layers.some(({ annotations: own }) => own?.[HOT_RANGES_LABEL] !== undefined))
    onNotice(
      'the image has lists of its own from its conversion, which daemons prefer: convert it without --record-in',
    );
  for (const old of published.left)
    onNotice(`the registry does not delete the earlier profile ${old}; daemons use the newest`);
  return { ...published, subject: subject.digest, sizeBytes: blob.length };
}

/** A node in production records the reads of all its images. A record without this one's is refused as any other. */
function ownAccesses(
  accesses: readonly AccessRecord[],
  { source, recordedOn = [] }: RecordedLayers,
  onNotice: (line: string) => void,
): readonly AccessRecord[] {
  const known = new Set([...source, ...recordedOn]);
  const own = accesses.filter(({ layer }) => known.has(layer));
  if (own.length === 0) return accesses;
  const others = accesses.length - own.length;
  if (others > 0) onNotice(`left out ${others} of ${accesses.length} lines of the record: they are of other images`);
  return own;
}

interface ChosenManifest {
  readonly subject: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** What containerd pulls: of an index, the manifest for the platform. */
async function chooseManifest(
  source: ImageSource,
  platform: Platform | undefined,
  signal: AbortSignal,
): Promise<ChosenManifest> {
  const { descriptor, manifest } = await planImage({ source, signal }, platform);
  const { layers } = manifest;
  if (descriptor !== undefined) return { subject: descriptor, layers };
  const { digest, mediaType, bytes } = await source.fetchManifest(undefined, signal);
  return { subject: { mediaType, digest, size: bytes.length }, layers };
}

/** Of the layers that were read; undefined for others and for ordinary ones. */
async function readTocs(
  client: RegistryClient,
  reference: Reference,
  layers: readonly Descriptor[],
  order: readonly PlacedAccess[],
  signal: AbortSignal,
): Promise<(LayerToc | undefined)[]> {
  const read = new Set(order.map(({ layer }) => layer));
  const tocs: (LayerToc | undefined)[] = [];
  for (const [index, { digest, urls, annotations }] of layers.entries()) {
    if (!read.has(index)) {
      tocs.push(undefined);
      continue;
    }
    const toc = await readRemoteToc(client.blob(reference, digest, urls), signal);
    const promised = annotations?.[TOC_DIGEST_LABEL];
    if (toc !== undefined && promised !== undefined && promised !== toc.tocDigest) {
      throw new ConvertError(
        'unsupported-layer',
        `layer ${digest} has the TOC ${toc.tocDigest}, but its manifest promises ${promised}; convert the image again`,
      );
    }
    tocs.push(toc);
  }
  return tocs;
}

/** JSON around each list, its digest included. */
const entryBytes = 128;
const maxLength = 32 * 1024;
/** A list of one range fits. */
const minLength = 64;

function buildProfile(
  order: readonly PlacedAccess[],
  layers: readonly Descriptor[],
  tocs: readonly (LayerToc | undefined)[],
): AccessProfile {
  const listed = tocs.filter((toc) => toc !== undefined).length;
  const fitting = Math.floor((maxProfileBytes - entryBytes) / Math.max(1, listed)) - entryBytes;
  const lists = listMembers(order, tocs, Math.max(minLength, Math.min(maxLength, fitting)));
  return new Map(lists.flatMap((list, index) => (list === undefined ? [] : [[layers[index]!.digest, list] as const])));
}
