import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { Containerd } from '../../containerd/containerd.ts';
import { startDaemon } from '../../daemon/daemon.ts';
import { unmountUnder } from '../../host/mounts.ts';
import { openSnapshotter, type SnapshotterClient } from './lazy-pull.ts';
import { Lister } from './lister.ts';
import { type MemoryRegistry, startMemoryRegistry } from './memory-registry.ts';

export const faces = ['fuse', 'erofs'] as const;
export type Face = (typeof faces)[number];

/** The servers that judge stacks, one after another or several at once. */
export interface Rig extends AsyncDisposable {
  readonly directory: string;
  readonly registry: MemoryRegistry;
  readonly client: RegistryClient;
  readonly containerd: Containerd;
  readonly daemons: ReadonlyMap<Face, SnapshotterClient>;
  /** For what containerd unpacked, and one a face: a face that hangs holds up no other. */
  readonly listers: ReadonlyMap<Face | 'reference', Lister>;
}

export interface RigOptions {
  /** Short, for sockets lie below it; must not exist. */
  readonly directory: string;
  readonly faces: readonly Face[];
  readonly compileCache: string;
}

/** All or nothing is brought up. */
export async function openRig({ directory, faces, compileCache }: RigOptions, signal: AbortSignal): Promise<Rig> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    await unmountUnder(directory);
    await rm(directory, { recursive: true, force: true });
  });
  const registry = await startMemoryRegistry();
  stack.defer(() => registry.close());
  const client = new RegistryClient();
  stack.defer(() => client.close());
  const containerd = await Containerd.start(
    { directory: join(directory, 'containerd'), snapshotter: 'overlayfs', registryAddress: registry.address },
    signal,
  );
  stack.defer(async () => void (await containerd.stop()));
  const daemons = new Map<Face, SnapshotterClient>();
  const listers = new Map<Face | 'reference', Lister>();
  for (const name of ['reference' as const, ...faces]) {
    const lister = new Lister(join(directory, 'seen', name));
    stack.defer(() => lister.close());
    listers.set(name, lister);
  }
  for (const backend of faces) {
    const config = { ...daemonConfig, mount: { backend } };
    const daemon = await startDaemon(
      { directory: join(directory, backend), config, env: { NODE_COMPILE_CACHE: compileCache } },
      signal,
    );
    stack.defer(async () => void (await daemon.stop()));
    const snapshotter = openSnapshotter(daemon.address);
    stack.defer(() => snapshotter.close());
    daemons.set(backend, snapshotter);
  }
  const owned = stack.move();
  return {
    directory,
    registry,
    client,
    containerd,
    daemons,
    listers,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Layers without a TOC digest are shown where their label allows it; nothing is read that the listing does not read. */
const daemonConfig = {
  allow_no_verification: true,
  noprefetch: true,
  no_background_fetch: true,
  cache: { limit_bytes: 0 },
};
