import { readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Digest, digestHex } from '../../registry/digest.ts';
import type { LayerStore } from '../../store/layer-store.ts';
import { noFetchMetrics } from '../../store/metrics.ts';
import { InflatePool } from '../../store/inflate-pool.ts';
import { FetchScheduler } from '../../store/scheduler.ts';
import type { TestFile } from '../../store/testing/blob.ts';
import type { InodeTable } from '../../tree/inode-table.ts';
import { findPath } from '../../tree/lookup.ts';
import { LayerError, type LayerErrorReason } from '../error.ts';
import type { LayerReader } from '../../store/layer-reader.ts';
import type { AccessProfiles } from '../access-profiles.ts';
import type { Face } from '../face.ts';
import type { LayerConfig } from '../layer-config.ts';
import { LayerManager } from '../manager.ts';
import { defaultLayerConfig } from '../../bench/layer-config.ts';
import type { TestRegistry } from './registry.ts';

export const limit = { timeout: 20_000 };
/** For what happens after a call has returned. */
export const soon = { limitMs: 10_000 };
export const signal = new AbortController().signal;

/** A face that shows layers to the test instead of the kernel. */
export interface TestFace extends Face {
  /** By digest; the reader is that of the last attached view. */
  readonly attached: Map<Digest, { store: LayerStore; reader: LayerReader }>;
  /** By path. */
  readonly views: Map<string, InodeTable>;
  busy: boolean;
  /** A layer that cannot be attached. */
  refuses: Digest | undefined;
  /** Is called, and waited for, before a layer is attached. */
  beforeAttach: () => Promise<void>;
}

function testFace(): TestFace {
  const pathOf = (store: LayerStore, view: string): string =>
    `/layers/${digestHex(store.meta.digest)}${view === '' ? '' : `-${view}`}`;
  const face: TestFace = {
    kind: 'fuse',
    attached: new Map(),
    views: new Map(),
    busy: false,
    refuses: undefined,
    beforeAttach: async () => {},
    async attach(store, reader, { name, table }) {
      await face.beforeAttach();
      if (face.refuses === store.meta.digest) throw new Error('EINVAL');
      face.attached.set(store.meta.digest, { store, reader });
      face.views.set(pathOf(store, name), table);
      return pathOf(store, name);
    },
    async detach(store, view) {
      if (face.busy) throw new Error('EBUSY');
      face.views.delete(pathOf(store, view));
      const prefix = pathOf(store, '');
      if (![...face.views.keys()].some((path) => path.startsWith(prefix))) face.attached.delete(store.meta.digest);
    },
    unrecorded: () => face,
    close: async () => true,
  };
  return face;
}

export interface ManagerBench {
  readonly root: string;
  readonly face: TestFace;
  readonly logged: string[];
  /** Fields of the warnings. */
  readonly warned: object[];
  manager(config?: Partial<LayerConfig>, profiles?: Pick<AccessProfiles, 'find'>): LayerManager;
}

/** With `ownRoot`, the caller deletes the directory. */
export async function openBench(t: TestContext, registry: TestRegistry, ownRoot?: string): Promise<ManagerBench> {
  const root = ownRoot ?? (await mkdtemp(join(tmpdir(), 'layers-')));
  const managers: LayerManager[] = [];
  const face = testFace();
  const logged: string[] = [];
  const warned: object[] = [];
  const scheduler = new FetchScheduler({ quietMs: 0 });
  const inflaters = new InflatePool();
  t.after(async () => {
    for (const manager of managers) await manager.close();
    scheduler.close();
    await inflaters.close();
    if (ownRoot === undefined) await rm(root, { recursive: true, force: true });
  });
  return {
    root,
    face,
    logged,
    warned,
    manager(config = {}, profiles = undefined) {
      const log = {
        info: (_: object, text: string) => void logged.push(text),
        warn(fields: object, text: string) {
          logged.push(text);
          warned.push(fields);
        },
      };
      const merged = { ...defaultLayerConfig, noBackgroundFetch: true, ...config };
      const manager = new LayerManager({
        root,
        registry,
        profiles,
        face,
        scheduler,
        inflaters,
        config: merged,
        log,
        metrics: noFetchMetrics,
      });
      managers.push(manager);
      return manager;
    },
  };
}

export async function readThrough(face: TestFace, digest: Digest, file: TestFile): Promise<Buffer> {
  const { store, reader } = face.attached.get(digest)!;
  const inode = findPath(store.table, file.name);
  const offset = store.table.dataOffset[inode]!;
  await reader.ensure(offset, file.content.length, signal);
  const bytes = Buffer.alloc(file.content.length);
  readSync(store.dataFd, bytes, 0, bytes.length, offset);
  return bytes;
}

export function refusedFor(reason: LayerErrorReason): (error: unknown) => boolean {
  return (error) => error instanceof LayerError && error.reason === reason;
}
