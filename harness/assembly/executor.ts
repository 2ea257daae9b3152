import { join } from 'node:path';
import type { LinkSetting } from '../../measurements/environment.ts';
import { formatAccesses, readAccesses } from '../../snapshotter/convert/accesses.ts';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { isImported, type Workload } from '../../workloads/workload.ts';
import type { ExecutorRequest, OpenExecutor } from '../bench/dependencies.ts';
import { createCellExecutor } from '../cell/cell.ts';
import { clearSandbox, openSandbox } from '../cell/sandbox.ts';
import { HarnessError } from '../cli/error.ts';
import { ensureErofsPrograms } from '../containerd/erofs-programs.ts';
import type { Peer } from '../daemon/peer.ts';
import { ensureCheckout } from '../host/base-checkout.ts';
import { recordOfSource } from '../images/imported.ts';
import { accessRecordOf, type ImageSet } from '../images/variants.ts';
import { ensurePrepared } from '../images/prepared.ts';
import { embeddedImages, type ImagesSetting } from '../images/registry-options.ts';
import { type Link, startLink } from '../link/link.ts';
import { startRegistry } from '../registry/registry.ts';
import type { Mode } from '../run/mode.ts';
import { neededWorkloads, openOrigin, sharingWith } from './images.ts';
import { describePeers, resolvePeers, withPrograms } from './peers.ts';
import { openRemoteExecutor } from './remote-executor.ts';
import { ensureWorkloadImages } from './testbed.ts';

/** Starts registry, images, link and cells; the executor's `close` takes them down in reverse order. */
export async function openExecutor(request: ExecutorRequest, signal: AbortSignal): Promise<OpenExecutor> {
  const { stateDir, reporter } = request;
  await using stack = new AsyncDisposableStack();
  // Before the images, which take their time.
  const peers = await resolvePeers(request);
  const base = request.modes.find((mode) => mode.base !== undefined)?.base;
  if (base !== undefined) await ensureCheckout(base, (detail) => reporter.step('base', detail), signal);
  const { remote } = request.images;
  if (remote !== undefined) return await openRemoteExecutor({ ...request, remote, peers }, signal);
  reporter.step('registry', 'starting');
  const registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  stack.defer(() => registry.close());
  const { executor, ...prepared } = stack.use(
    await openCells(
      {
        ...request,
        links: request.links.filter((link) => link !== undefined),
        registryAddress: registry.address,
        peers,
      },
      signal,
    ),
  );
  const owned = stack.move();
  return { ...prepared, executor: { ...executor, close: () => owned.disposeAsync() } };
}

export interface CellsRequest extends Omit<ExecutorRequest, 'images' | 'cells' | 'links'> {
  /** Default: built here. */
  readonly images?: ImagesSetting;
  readonly links: readonly LinkSetting[];
  /** `host:port` of the registry itself. */
  readonly registryAddress: string;
  /** The peers of the modes with their programs, by name. */
  readonly peers: ReadonlyMap<string, Peer>;
  /** What runs before a workload in a mode whose daemon is warm. */
  readonly warmUpFor?: (workload: Workload) => Workload;
}

/** The images, the link and the cells. */
export async function openCells(request: CellsRequest, signal: AbortSignal): Promise<OpenExecutor & AsyncDisposable> {
  const { stateDir, reporter, peers, modes } = request;
  await using stack = new AsyncDisposableStack();
  const programs = modes.some((mode) => mode.snapshotter === 'erofs')
    ? await ensureErofsPrograms(join(stateDir, 'containerd'), signal)
    : undefined;
  const images = await ensureModeImages(request, signal);
  const links = await startLinks(request, stack);
  const [link] = links.values();
  const cells = createCellExecutor({
    stateDir,
    link: link!,
    linkOf: (setting) => links.get(setting)!,
    programs,
    imageOf: images.of,
    warmUpFor: request.warmUpFor,
    sharingWith,
  });
  stack.defer(() => cells.close());
  const versions = await describePeers(peers, reporter, signal);
  const owned = stack.move();
  return {
    executor: withPrograms(cells, peers, owned),
    record: {
      images: images.record,
      ...versions,
      ...(programs === undefined ? {} : { containerd: programs.containerdVersion }),
    },
    accessRecords: images.accessRecords,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** One relay for each setting; the other ones are idle while a cell runs. */
async function startLinks(
  { links, registryAddress }: Pick<CellsRequest, 'links' | 'registryAddress'>,
  stack: AsyncDisposableStack,
): Promise<ReadonlyMap<LinkSetting, Link>> {
  const started = new Map<LinkSetting, Link>();
  for (const setting of links) {
    const link = await startLink({ target: registryAddress, ...setting });
    stack.defer(() => link.close());
    started.set(setting, link);
  }
  return started;
}

interface ModeImages {
  readonly record: Readonly<Record<string, unknown>>;
  readonly accessRecords: ReadonlyMap<string, string>;
  of(workload: Workload, mode: Mode): string;
}

/** The variants that the modes pull, of their workloads and of those that run before them, and what peers make of them. */
async function ensureModeImages(request: CellsRequest, signal: AbortSignal): Promise<ModeImages> {
  const { stateDir, registryAddress, modes, reporter, images = embeddedImages } = request;
  await using stack = new AsyncDisposableStack();
  const from = openOrigin(images, stack);
  const onStep = (detail: string) => reporter.step('images', detail);
  const variants = [...new Set(modes.map((mode) => mode.variant))];
  const needed = neededWorkloads(request);
  const { hostsDirectory } = images;
  const building = { stateDir, registryAddress, variants, from, hostsDirectory, onStep };
  const sets = await ensureWorkloadImages(needed, building, signal);
  const prepared = new Map<string, string>();
  const accessRecords = new Map<string, string>();
  const client = new RegistryClient();
  const sandbox = openSandbox(stateDir);
  try {
    for (const { name, image } of request.workloads.filter((one) => isImported(one.image))) {
      const { stargz, estargz } = sets.get(image.name)!;
      const accesses = await readAccesses(accessRecordOf(stateDir, estargz!));
      const ofSource = await recordOfSource(client, `${registryAddress}/${stargz}`, accesses, signal);
      accessRecords.set(name, formatAccesses(ofSource));
    }
    for (const mode of modes) {
      if (mode.peer === undefined || mode.peer.prepare.length === 0) continue;
      await clearSandbox(sandbox);
      const place = { registry: registryAddress, directory: join(sandbox.directory, 'prepare'), client, onStep };
      for (const workload of needed) {
        const source = imageOf(sets, workload, mode);
        const image = await ensurePrepared({ ...place, peer: mode.peer, source }, signal);
        prepared.set(preparedKey(workload, mode), image);
      }
    }
  } finally {
    await client.close();
  }
  return {
    record: { ...Object.fromEntries(sets), ...Object.fromEntries(prepared) },
    accessRecords,
    of: (workload, mode) => prepared.get(preparedKey(workload, mode)) ?? imageOf(sets, workload, mode),
  };
}

/** The name of a peer's mode has no suffix where its image is meant. */
function preparedKey(workload: Workload, { peer, variant }: Mode): string {
  return `${workload.image.name} ${peer?.name}:${variant}`;
}

function imageOf(images: ReadonlyMap<string, ImageSet>, workload: Workload, mode: Mode): string {
  const image = images.get(workload.image.name)?.[mode.variant];
  if (image !== undefined) return image;
  throw new HarnessError('unsupported-image', `there is no ${mode.variant} image of ${workload.image.name}`);
}
