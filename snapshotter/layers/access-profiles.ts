import { setImmediate as yieldTurn } from 'node:timers/promises';
import {
  ACCESS_PROFILE_BLOB,
  ACCESS_PROFILE_TYPE,
  type AccessProfile,
  CREATED,
  maxProfileBytes,
  parseAccessProfile,
} from '../estargz/access-profile.ts';
import { FormatError } from '../estargz/error.ts';
import { describeError, type Log } from '../platform/log.ts';
import { type BlobSource, distrustOnce } from '../registry/blob-source.ts';
import type { RegistryClient } from '../registry/client.ts';
import { type Digest, digestOf, isDigest } from '../registry/digest.ts';
import { RegistryError } from '../registry/error.ts';
import { hostPlatform, parseManifest, pickPlatform } from '../registry/manifest.ts';
import { parseReference, type Reference } from '../registry/reference.ts';
import type { Referrer } from '../registry/referrers.ts';
import type { LayerRequest } from './layer-request.ts';

export interface AccessProfilesOptions {
  readonly registry: Pick<RegistryClient, 'blob' | 'fetchManifest' | 'findReferrers'>;
  readonly log: Pick<Log, 'trace' | 'info' | 'warn'>;
  /** For how long an image is not looked up again, whether it has a profile or not. */
  readonly ttlMs: number;
  readonly limitMs?: number;
}

export interface AccessProfiles {
  /**
   * The list of hot ranges of the request's layer, from the access profile of its image, or undefined; settles within some
   * seconds and never rejects. The first request of an image looks for its profile, after its own requests to the registry.
   */
  find(request: LayerRequest): Promise<string | undefined>;
  close(): void;
}

/** Of a lookup, two round trips in most cases. */
const defaultLimitMs = 3000;
/** For how long a registry that failed to answer is not asked. */
const restMs = 60_000;
/** Lookups at the same time. */
const maxLookups = 8;
/** Images remembered. */
const maxImages = 64;

const none: AccessProfile = new Map();

interface Entry {
  readonly profile: Promise<AccessProfile>;
  readonly timer: NodeJS.Timeout;
}

/** Finds what was learnt of images after their conversion: access profiles that refer to them in their repository. */
export function createAccessProfiles(options: AccessProfilesOptions): AccessProfiles {
  const { log, limitMs = defaultLimitMs } = options;
  const closing = new AbortController();
  const entries = new Map<string, Entry>();
  const resting = new Map<string, number>();
  let lookups = 0;

  const drop = (key: string): void => {
    clearTimeout(entries.get(key)?.timer);
    entries.delete(key);
  };
  const keep = (key: string, profile: Promise<AccessProfile>): Promise<AccessProfile> => {
    entries.set(key, { profile, timer: setTimeout(() => drop(key), options.ttlMs).unref() });
    if (entries.size > maxImages) drop(entries.keys().next().value!);
    return profile;
  };
  const lookUp = async (key: string, reference: Reference, request: LayerRequest): Promise<AccessProfile> => {
    const { registry } = reference;
    if ((resting.get(registry) ?? 0) > performance.now()) return none;
    if (lookups >= maxLookups) {
      // The image's next layer tries again.
      setImmediate(() => drop(key));
      return none;
    }
    lookups++;
    const startedMs = performance.now();
    const limit = AbortSignal.timeout(limitMs);
    try {
      // The layer's own requests go first.
      await yieldTurn();
      const found = await fetchProfile(options, reference, request, AbortSignal.any([closing.signal, limit]));
      const fields = { image: request.reference, durationMs: Math.round(performance.now() - startedMs) };
      if (found === undefined) log.trace?.(fields, 'no access profile');
      else log.info({ ...fields, profile: found.blob, layers: found.profile.size }, 'access profile found');
      return found?.profile ?? none;
    } catch (error) {
      if (closing.signal.aborted) return none;
      if (isUnanswered(error)) resting.set(registry, performance.now() + restMs);
      log.warn({ image: request.reference, error: describeError(error) }, 'access profile not looked up');
      return none;
    } finally {
      lookups--;
    }
  };
  return {
    async find(request) {
      const reference = parseReference(request.reference);
      const key = keyOf(reference, request);
      // The converter's own lists are in the labels of some of the image's layers.
      if (request.hotRanges !== undefined || request.hotRangesAbove !== undefined) {
        if (!entries.has(key)) void keep(key, Promise.resolve(none));
        return undefined;
      }
      const profile = entries.get(key)?.profile ?? keep(key, lookUp(key, reference, request));
      return (await profile).get(request.digest);
    },
    close() {
      closing.abort();
      for (const key of [...entries.keys()]) drop(key);
    },
  };
}

function keyOf(reference: Reference, { manifestDigest }: LayerRequest): string {
  const { registry, repository, tag, digest } = reference;
  return `${registry}/${repository}@${manifestDigest ?? digest ?? tag}`;
}

interface FoundProfile {
  readonly blob: Digest;
  readonly profile: AccessProfile;
}

async function fetchProfile(
  { registry }: AccessProfilesOptions,
  reference: Reference,
  request: LayerRequest,
  signal: AbortSignal,
): Promise<FoundProfile | undefined> {
  const subject = request.manifestDigest ?? (await resolveImage(registry, reference, signal));
  if (subject === undefined) return undefined;
  const artifactType = ACCESS_PROFILE_TYPE;
  const newest = newestOf(await registry.findReferrers({ reference, subject, artifactType }, signal));
  if (newest === undefined) return undefined;
  const blob = newest.annotations?.[ACCESS_PROFILE_BLOB] ?? (await blobOf(registry, reference, newest, signal));
  if (typeof blob !== 'string' || !isDigest(blob)) return undefined;
  return { blob, profile: parseAccessProfile(await readSmallBlob(registry.blob(reference, blob), signal)) };
}

/** Whoever lists a profile chooses the blob, so one that is too large says nothing about the server. */
async function readSmallBlob(source: BlobSource, signal: AbortSignal): Promise<Buffer> {
  const blamed = new Set<string>();
  for (;;) {
    const { bytes, blobSizeBytes, servers } = await source.fetchSuffix(maxProfileBytes, signal);
    if (blobSizeBytes > maxProfileBytes) throw new FormatError('limit', `an access profile of ${blobSizeBytes} bytes`);
    if (digestOf(bytes) === source.digest) return bytes;
    if (!distrustOnce(source, servers, blamed))
      throw new FormatError('access-profile', `the access profile ${source.digest} has another digest`);
  }
}

const unansweredCodes: readonly RegistryError['code'][] = ['unreachable', 'timeout', 'server', 'rate-limited'];

/** A failure of the registry, rather than of one image's profile. */
function isUnanswered(error: unknown): boolean {
  if (error instanceof RegistryError) return unansweredCodes.includes(error.code);
  return error instanceof Error && error.name === 'TimeoutError';
}

/** The manifest of this machine's platform, for clients that do not say in a label which one they pull. */
async function resolveImage(
  registry: AccessProfilesOptions['registry'],
  reference: Reference,
  signal: AbortSignal,
): Promise<Digest | undefined> {
  const { digest, mediaType, bytes } = await registry.fetchManifest(reference, signal);
  const parsed = parseManifest(bytes, mediaType);
  return parsed.kind === 'manifest' ? digest : pickPlatform(parsed.index, hostPlatform())?.digest;
}

/** By the time in their annotation; those without are the oldest. */
function newestOf(referrers: readonly Referrer[]): Referrer | undefined {
  const createdMs = ({ annotations }: Referrer): number => Date.parse(annotations?.[CREATED] ?? '') || 0;
  return referrers.toSorted((a, b) => createdMs(b) - createdMs(a))[0];
}

/** Some registries list referrers without their annotations. */
async function blobOf(
  registry: AccessProfilesOptions['registry'],
  { registry: host, repository }: Reference,
  { digest }: Referrer,
  signal: AbortSignal,
): Promise<Digest | undefined> {
  const { bytes, mediaType } = await registry.fetchManifest({ registry: host, repository, digest }, signal);
  const parsed = parseManifest(bytes, mediaType);
  return parsed.kind === 'manifest' ? parsed.manifest.layers[0]?.digest : undefined;
}
