/**
 * An access profile: what a run of an image read of each layer, as an artifact that refers to the image (`subject`), for images
 * that are not to be converted again. Its one blob is JSON:
 *
 *     { "version": 1, "layers": [ { "digest": "sha256:…", "hotRanges": "…" } ] }
 *
 * `hotRanges` is as in hot-ranges.ts, with ranks over all layers of the image, but may be longer than a label. A layer that is not
 * named was not read.
 */
import { type Digest, isDigest } from '../registry/digest.ts';
import { FormatError } from './error.ts';
import { maxListLength } from './hot-ranges.ts';

/** Of the artifact and of its blob. */
export const ACCESS_PROFILE_TYPE = 'application/vnd.stargz-bench.access-profile.v1+json';
/** Annotation with the digest of the blob. It saves readers who list referrers the request for the artifact's manifest. */
export const ACCESS_PROFILE_BLOB = 'vnd.stargz-bench.access-profile.blob';
/** When it was published, RFC 3339: of several profiles the newest counts (OCI image-spec, "Pre-Defined Annotation Keys"). */
export const CREATED = 'org.opencontainers.image.created';

export const maxProfileBytes = 256 * 1024;
const maxLayers = 1024;

/** Lists of hot ranges by layer. */
export type AccessProfile = ReadonlyMap<Digest, string>;

export function encodeAccessProfile(profile: AccessProfile): Buffer {
  const layers = [...profile].map(([digest, hotRanges]) => ({ digest, hotRanges }));
  return Buffer.from(JSON.stringify({ version: 1, layers }));
}

/** Throws FormatError 'access-profile'. The lists are not parsed yet: only their layers tell whether they fit. */
export function parseAccessProfile(bytes: Uint8Array): AccessProfile {
  if (bytes.length > maxProfileBytes) throw malformed(`larger than ${maxProfileBytes} bytes`);
  let value: { version?: unknown; layers?: unknown } | null;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw malformed('not JSON');
  }
  if (typeof value !== 'object' || value?.version !== 1) throw malformed('of an unknown version');
  const { layers } = value;
  if (!Array.isArray(layers) || layers.length > maxLayers) throw malformed(`not a list of at most ${maxLayers} layers`);
  const profile = new Map<Digest, string>();
  for (const layer of layers as readonly ({ digest?: unknown; hotRanges?: unknown } | null)[]) {
    const { digest, hotRanges } = layer ?? {};
    if (typeof digest !== 'string' || !isDigest(digest)) throw malformed('a list without the digest of its layer');
    if (typeof hotRanges !== 'string' || hotRanges.length > maxListLength) throw malformed('a list that is no text');
    if (profile.has(digest)) throw malformed('a list with two entries for one layer');
    profile.set(digest, hotRanges);
  }
  return profile;
}

function malformed(how: string): FormatError {
  return new FormatError('access-profile', `the access profile is ${how}; publish it again`);
}
