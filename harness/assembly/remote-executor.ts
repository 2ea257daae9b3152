import { join } from 'node:path';
import type { LinkSetting } from '../../measurements/environment.ts';
import type { Endpoint } from '../../snapshotter/registry/host.ts';
import { isLoopback } from '../../snapshotter/registry/server-address.ts';
import { type Link, startLink } from '../link/link.ts';
import type { RateLimit } from '../../snapshotter/registry/rate-limit.ts';
import { mediaTypes } from '../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import type { Workload } from '../../workloads/workload.ts';
import type { ExecutorRequest, OpenExecutor } from '../bench/dependencies.ts';
import { createCellExecutor } from '../cell/cell.ts';
import { HarnessError } from '../cli/error.ts';
import { ensureErofsPrograms } from '../containerd/erofs-programs.ts';
import type { Peer } from '../daemon/peer.ts';
import { officialImage, publishedImage } from '../images/published.ts';
import { openAccess, type RegistryAccess } from '../registry/access.ts';
import { describeAllowance, formatPulls, requireAllowance } from '../registry/allowance.ts';
import { type ConnectionQuality, manifestsMeasured, measureConnection } from '../registry/connection-quality.ts';
import type { RemoteRegistry } from '../registry/remote.ts';
import type { Mode } from '../run/mode.ts';
import { neededWorkloads, sharingWith } from './images.ts';
import { describePeers, withPrograms } from './peers.ts';

export interface RemoteExecutorRequest extends ExecutorRequest {
  readonly remote: RemoteRegistry;
  /** The peers of the modes with their programs, by name. */
  readonly peers: ReadonlyMap<string, Peer>;
}

/**
 * Cells that pull from a registry that is not ours. Before the first one, all images are looked for, credentials and limits
 * are known to suffice, and the connection is measured.
 */
export async function openRemoteExecutor(request: RemoteExecutorRequest, signal: AbortSignal): Promise<OpenExecutor> {
  const { stateDir, remote, images, modes, peers, reporter } = request;
  refusePrepared(modes, remote);
  await using stack = new AsyncDisposableStack();
  const access = stack.use(openAccess(images.hostsDirectory));
  reporter.step('registry', `${remote.name}: looking for the images`);
  const found = await lookForAll(access, request, signal);
  const limits = limitsOf(request, found);
  for (const { registry, before, needed } of limits) {
    requireAllowance(registry, before, needed);
    reporter.note(`${describeAllowance(registry, before)}; the plan needs ${formatPulls(needed)}`);
  }
  const [firstImage = ''] = found.keys();
  const quality = await measureConnection(access, firstImage, signal);
  reporter.note(`${remote.name}: ${describeQuality(quality)}`);
  const versions = await describePeers(peers, reporter, signal);
  const programs = modes.some((mode) => mode.snapshotter === 'erofs')
    ? await ensureErofsPrograms(join(stateDir, 'containerd'), signal)
    : undefined;
  const links = await startProxies(request, access.endpointOf(firstImage), stack);
  const cells = createCellExecutor({
    stateDir,
    link: undefined,
    linkOf: (setting) => links.get(setting)!,
    access,
    programs,
    imageOf: (workload, mode) => imageOf(request, workload, mode),
    sharingWith,
  });
  stack.defer(() => cells.close());
  const registry = {
    name: remote.name,
    // What the images there were made of is theirs to say.
    originals: images.origin.kind === 'official' ? 'official' : 'published',
    server: access.endpointOf(firstImage).authority,
    credentials: (await access.credentialFor(firstImage, signal)) === undefined ? 'none' : "Docker's configuration",
  };
  const { roundTripMs = null, bandwidthMbps = null, measuredBytes } = quality;
  const connection = { roundTripMs, bandwidthMbps, measuredBytes };
  const owned = stack.move();
  return {
    executor: withPrograms(cells, peers, owned),
    record: {
      ...{ images: digestsOf(found), registry, ...versions },
      ...(programs === undefined ? {} : { containerd: programs.containerdVersion }),
    },
    conditions: { connection: { ...connection, limits } },
    conditionsAtEnd: async (endSignal) => {
      const after = await Promise.all(limits.map((limit) => readAfter(access, limit, found, endSignal)));
      for (const limit of after) {
        if (limit.after !== null) reporter.note(describeAllowance(limit.registry, limit.after));
      }
      return { connection: { ...connection, limits: after } };
    },
  };
}

/** One relay for each link that is to be emulated: a proxy, since registries redirect and are reached by their names. */
async function startProxies(
  { links, remote }: RemoteExecutorRequest,
  { authority, schemes }: Endpoint,
  stack: AsyncDisposableStack,
): Promise<ReadonlyMap<LinkSetting, Link>> {
  const started = new Map<LinkSetting, Link>();
  for (const setting of links) {
    if (setting === undefined) continue;
    const reason =
      schemes[0] === 'http'
        ? 'speaks plain HTTP'
        : isLoopback(authority)
          ? 'is on loopback'
          : (process.env.HTTPS_PROXY ?? process.env.https_proxy)
            ? 'is behind a proxy'
            : undefined;
    if (reason !== undefined) {
      throw new HarnessError('usage', `cannot emulate a link to ${remote.name}: ${authority} ${reason}`, {
        remedy: 'leave --rtt and --bandwidth out',
      });
    }
    const link = await startLink({ target: undefined, ...setting });
    stack.defer(() => link.close());
    started.set(setting, link);
  }
  return started;
}

function refusePrepared(modes: readonly Mode[], remote: RemoteRegistry): void {
  const mode = modes.find(({ peer }) => peer !== undefined && peer.prepare.length > 0);
  if (mode === undefined) return;
  throw new HarnessError(
    'unsupported-image',
    `the mode ${mode.name} needs images of its own, which are prepared in the embedded registry only`,
    { remedy: `leave the mode out, or --registry ${remote.name}` },
  );
}

/** With official images as the source, the original is not the copy beside the converted ones. */
function imageOf({ remote, images }: RemoteExecutorRequest, workload: Workload, { variant }: Mode): string {
  if (variant === 'legacy' && images.origin.kind === 'official') return officialImage(workload, images.tags);
  return publishedImage(remote, workload, variant, images.tags);
}

interface FoundImage {
  /** Null where the registry does not state it. */
  readonly digest: string | null;
  /** Manifests that a pull gets: an index counts besides. */
  readonly manifests: number;
  readonly limit: RateLimit | undefined;
}

/** By reference. Throws HarnessError that names what is missing. */
async function lookForAll(
  access: RegistryAccess,
  request: RemoteExecutorRequest,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, FoundImage>> {
  const found = new Map<string, FoundImage>();
  const missing = new Map<string, { readonly workload: Workload; readonly mode: Mode }>();
  for (const workload of neededWorkloads(request)) {
    for (const mode of request.modes) {
      const image = imageOf(request, workload, mode);
      if (found.has(image) || missing.has(image)) continue;
      const head = await access.look(image, signal);
      if (head === undefined) {
        missing.set(image, { workload, mode });
        continue;
      }
      const isIndex = head.mediaType === mediaTypes.ociIndex || head.mediaType === mediaTypes.dockerManifestList;
      found.set(image, { digest: head.digest ?? null, manifests: isIndex ? 2 : 1, limit: head.rateLimit });
    }
  }
  if (missing.size > 0) throw lacks(request, missing);
  return found;
}

function lacks(
  { remote }: RemoteExecutorRequest,
  missing: ReadonlyMap<string, { readonly workload: Workload; readonly mode: Mode }>,
): HarnessError {
  const [first = ''] = missing.keys();
  const more = missing.size === 1 ? '' : ` and ${missing.size - 1} more`;
  const list = (names: readonly string[]) => [...new Set(names)].join(',');
  const wanted = [...missing.values()];
  const workloads = list(wanted.map(({ workload }) => workload.name));
  const variants = list(wanted.map(({ mode }) => mode.variant));
  return new HarnessError('unsupported-image', `there is no image ${first}${more}`, {
    remedy: `npm run images -- prepare --registry ${remote.name} --workloads ${workloads} --variants ${variants}`,
  });
}

function digestsOf(found: ReadonlyMap<string, FoundImage>): Readonly<Record<string, string | null>> {
  return Object.fromEntries([...found].map(([image, { digest }]) => [image, digest]));
}

interface PullLimit {
  readonly registry: string;
  readonly before: RateLimit;
  /** Manifests that the run may pull, at most. */
  readonly needed: number;
}

/** The registries that state a limit, with what the run needs of it. */
function limitsOf(request: RemoteExecutorRequest, found: ReadonlyMap<string, FoundImage>): readonly PullLimit[] {
  const needed = new Map<string, number>();
  const add = (image: string, count: number) => {
    const { registry } = parseReference(image);
    needed.set(registry, (needed.get(registry) ?? 0) + count);
  };
  add([...found.keys()][0] ?? '', manifestsMeasured);
  for (const { workload, mode } of request.cells) {
    const runs = mode.daemonState === undefined || mode.daemonState === 'fresh' ? 1 : 2;
    const image = imageOf(request, workload, mode);
    // Docker Engine does not keep the size of what it pulled, which is read from the manifest.
    const reads = mode.engine === 'docker' ? 2 : 1;
    add(image, runs * reads * found.get(image)!.manifests);
  }
  const limits = new Map<string, RateLimit>();
  for (const [image, { limit }] of found) if (limit !== undefined) limits.set(parseReference(image).registry, limit);
  return [...limits].map(([registry, before]) => ({ registry, before, needed: needed.get(registry) ?? 0 }));
}

/** Null where it cannot be read, which does not make the run a failure. */
async function readAfter(
  access: RegistryAccess,
  limit: PullLimit,
  found: ReadonlyMap<string, FoundImage>,
  signal: AbortSignal,
) {
  const image = [...found.keys()].find((name) => parseReference(name).registry === limit.registry)!;
  const head = await access.look(image, signal).catch(() => undefined);
  return { ...limit, after: head?.rateLimit ?? null };
}

/** `23.1 ms round trip, 180 Mbit/s on one connection` */
function describeQuality({ roundTripMs, bandwidthMbps }: ConnectionQuality): string {
  const roundTrip = roundTripMs === undefined ? 'round trip unknown' : `${roundTripMs.toFixed(1)} ms round trip`;
  const rate = bandwidthMbps === undefined ? 'bandwidth unknown' : `${Math.round(bandwidthMbps)} Mbit/s`;
  return `${roundTrip}, ${rate} on one connection`;
}
