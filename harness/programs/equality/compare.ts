import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { type Sandbox, type RunningCell, requireLazy, withCell } from '../../cell/sandbox.ts';
import type { Containerd } from '../../containerd/containerd.ts';
import { gcRoot } from '../../containerd/gc-root.ts';
import { HarnessError, lastLines } from '../../cli/error.ts';

export interface ComparisonRequest {
  /** Cleared before and after. */
  readonly sandbox: Sandbox;
  readonly registryAddress: string;
  /** A converted image, full reference. */
  readonly image: string;
  /** config.toml of the daemon on the lazy side. */
  readonly daemonConfig: Readonly<Record<string, unknown>>;
  /** The source of the lazy side, if it differs, and how to pull from it. */
  readonly lazyFrom?: {
    readonly registryAddress: string;
    readonly image: string;
    pull(containerd: Containerd, image: string, signal: AbortSignal): Promise<void>;
  };
}

export interface Comparison {
  readonly entries: number;
  readonly layers: number;
  /** "name: what overlayfs shows | what the lazy mount shows", at most `shownDifferences`. */
  readonly differences: readonly string[];
  readonly mount: string;
}

const program = fileURLToPath(new URL('listing.ts', import.meta.url));
/** Added by a converter, hidden by a lazy mount. */
const hidden = ['stargz.index.json', '.prefetch.landmark', '.no.prefetch.landmark'];
const shownDifferences = 20;
const listLimitMs = 1_200_000;

/**
 * Compares a lazily mounted image with the same image unpacked by overlayfs, entry by entry: type, mode, owner, size,
 * modification time, link target, hard links, device number, extended attributes, content.
 */
export async function compareMounts(request: ComparisonRequest, signal: AbortSignal): Promise<Comparison> {
  const unpacked = await listImage(request, 'overlayfs', signal);
  const lazy = await listImage(request, 'stargz', signal);
  const differences: string[] = [];
  const names = new Set([...unpacked.entries.keys(), ...lazy.entries.keys()]);
  for (const name of names) {
    const [left, right] = [unpacked.entries.get(name), lazy.entries.get(name)];
    if (left !== right && differences.length < shownDifferences) {
      differences.push(`/${name}: ${left ?? 'absent'} | ${right ?? 'absent'}`);
    }
  }
  return { entries: names.size, layers: lazy.layers, differences, mount: lazy.mount };
}

interface Listed {
  /** The listing's line for each name. */
  readonly entries: ReadonlyMap<string, string>;
  readonly layers: number;
  readonly mount: Comparison['mount'];
}

async function listImage(
  request: ComparisonRequest,
  snapshotter: 'overlayfs' | 'stargz',
  signal: AbortSignal,
): Promise<Listed> {
  const { sandbox } = request;
  const { registryAddress, image } = (snapshotter === 'stargz' ? request.lazyFrom : undefined) ?? request;
  const daemonConfig = snapshotter === 'stargz' ? request.daemonConfig : undefined;
  const setting = { snapshotter, daemonConfig, registryAddress, isCold: false };
  return withCell(
    sandbox,
    setting,
    (running) => listRunning({ ...request, image }, running, snapshotter, signal),
    signal,
  );
}

async function listRunning(
  { sandbox, image, lazyFrom }: ComparisonRequest,
  running: RunningCell,
  snapshotter: 'overlayfs' | 'stargz',
  signal: AbortSignal,
): Promise<Listed> {
  const { containerd } = running;
  if (snapshotter === 'stargz' && lazyFrom !== undefined) await lazyFrom.pull(containerd, image, signal);
  else await containerd.pull(image, signal);
  const pulled = await containerd.readImage(image, signal);
  if (snapshotter === 'stargz') await requireLazy(running, image, pulled, signal);
  const parent = pulled.chainIds.at(-1)!;
  const { mounts } = await containerd.client.snapshots.view(
    { snapshotter, key: 'compared', parent, labels: gcRoot() },
    { signal },
  );
  const [mount] = mounts;
  if (mount === undefined) throw new HarnessError('start', `the ${snapshotter} snapshotter returned no mount`);
  const target = join(sandbox.directory, 'compared');
  await mkdir(target);
  const options = mount.options.filter((option) => option !== 'rbind');
  const type = mount.type === 'bind' ? ['--bind'] : ['-t', mount.type];
  await execa('mount', [...type, '-o', options.join(','), mount.source, target], { timeout: 60_000 });
  try {
    return { entries: await list(target, signal), layers: pulled.layers.length, mount: await running.mountKind() };
  } finally {
    await execa('umount', [target], { timeout: 60_000 });
  }
}

async function list(directory: string, signal: AbortSignal): Promise<Map<string, string>> {
  const skip = hidden.flatMap((name) => ['--skip', name]);
  const listing = execa(process.execPath, [program, directory, ...skip], {
    buffer: { stdout: false },
    cancelSignal: signal,
    reject: false,
    stdin: 'ignore',
    timeout: listLimitMs,
  });
  const entries = new Map<string, string>();
  for await (const line of createInterface({ input: listing.stdout })) {
    entries.set((JSON.parse(line) as { name: string }).name, line);
  }
  const result = await listing;
  if (result.failed) throw new HarnessError('start', `listing ${directory} failed: ${lastLines(result.stderr)}`);
  return entries;
}
