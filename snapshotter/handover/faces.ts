import { existsSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LayerBuilder } from '../builder/builder.ts';
import type { Config } from '../config/config.ts';
import { listErofsMounts, listSuperblocks, unmountImage } from '../erofs/mount.ts';
import { probeErofs } from '../erofs/probe.ts';
import { ErofsServer } from '../erofs/server.ts';
import type { Miss } from '../fuse/dispatch.ts';
import { type FuseConnection, type FuseLayer, FuseServer } from '../fuse/server.ts';
import { createErofsFace } from '../layers/erofs-face.ts';
import type { Face } from '../layers/face.ts';
import { createFuseFace } from '../layers/fuse-face.ts';
import { openSlotBook, readSlotBook, type StoredSlotBook } from '../layers/slot-book.ts';
import type { StatusChange } from '../observability/status.ts';
import { describeError, type Log } from '../platform/log.ts';
import { MNT_DETACH } from '../platform/syscalls.ts';
import { defaultReadaheadKib, recordedReadaheadKib } from '../store/layer-reader.ts';
import { closeHeld, emptyStore, storeHeld, takeStored } from './descriptor-store.ts';
import { denyOrphaned } from './keeper/denial.ts';
import { findKeeper, type HeldDescriptors, type Keeper, startKeeper } from './keeper/keeper.ts';
import { placeOfMiss, traceErofs, traceFuse } from './trace.ts';

export interface FaceSetting {
  /** The daemon's. */
  readonly root: string;
  readonly config: Config;
  readonly log: Log;
  readonly builder: LayerBuilder;
  /** For the status document. */
  onChange(change: StatusChange): void;
}

export interface OpenFace {
  readonly face: Face;
  /** Taken over from an earlier daemon, with its mounts. */
  readonly isAdopted: boolean;
  /** Unmounts, and dismisses the keeper unless something is still in use. */
  takeDown(): Promise<void>;
  /** Ends, and leaves everything mounted in the keeper's care. */
  leave(): Promise<void>;
}

type FaceFacts = { readonly kind: 'fuse'; readonly connection: FuseConnection } | { readonly kind: 'erofs' };

/** proc_ns.h: PROC_PID_INIT_INO. */
const initialPidNamespace = 'pid:[4026531836]';

/** How long reads wait for the next daemon before they fail; docs/architecture.md states it too. */
export const keeperGraceMs = 60_000;

/** Wait before another attempt to start a keeper. */
const keeperRetryMs = 10_000;

/**
 * Takes over the face that an earlier daemon left with its keeper, or with systemd where the keeper is dead too;
 * otherwise opens a new one, as the configuration asks and this machine allows. The reason is logged and in the status
 * document.
 */
export async function openFace(setting: FaceSetting): Promise<OpenFace> {
  // The kernel's mount table has resolved paths.
  const resolved = { ...setting, root: realpathSync(setting.root) };
  return (await adoptFace(resolved)) ?? (await openNewFace(resolved));
}

async function adoptFace(setting: FaceSetting): Promise<OpenFace | undefined> {
  const { root, config, log, onChange } = setting;
  const stored = takeStored();
  const left = await findKeeper(root);
  if (left !== undefined) {
    if (stored !== undefined) closeHeld(stored);
    onChange({ descriptorStore: storeHeld(left.held, log) });
  }
  const keeper = left?.keeper;
  const held = left?.held ?? stored;
  if (held === undefined) return undefined;
  const book =
    readSlotBook<FaceFacts>(bookPath(root)) ?? (held.groupFd === undefined ? undefined : openLostBook(root, log));
  let face: Face | undefined;
  if (book?.facts.kind === 'fuse' && held.fuseFd !== undefined) {
    const server = FuseServer.adopt(held.fuseFd, book.facts.connection, fuseOptions(root, config, log));
    face = createFuseFace(server, book);
  } else if (book?.facts.kind === 'erofs' && held.groupFd !== undefined) {
    // Before the worker reads events, whose descriptor numbers might be the same.
    const denied = denyOrphaned(held.groupFd);
    if (denied > 0) log.warn({ reads: denied }, 'reads that the earlier daemon had taken but not answered failed');
    const server = openErofs(root, config, log, held.groupFd);
    await server.ready;
    face = createErofsFace(server, book, setting.builder);
  }
  if (face === undefined || book === undefined) {
    log.warn({ keeper: keeper?.pid }, 'what an earlier daemon left cannot be taken over');
    await keeper?.dismiss();
    closeHeld(held);
    emptyStore();
    return undefined;
  }
  log.info({ face: face.kind, keeper: keeper?.pid, layers: book.slots.size }, 'mounts of an earlier daemon taken over');
  const reason = `mounts of an earlier daemon were taken over from ${keeper === undefined ? 'systemd' : 'its keeper'}`;
  onChange({ face: { kind: face.kind, configured: config.mount.backend, reason, takenOver: true } });
  if (config.mount.backend !== 'auto' && config.mount.backend !== face.kind)
    log.warn({ face: face.kind, backend: config.mount.backend }, 'the other backend waits until nothing is mounted');
  const keeping = keeper === undefined ? tryKeeper(setting, held) : Promise.resolve(keeper);
  return guard(setting, face, book, held, keeping, true);
}

/**
 * Stands in for a slot book that cannot be read. Dropping the group would let holes read as zeros; with it, readers of
 * the old mounts are served once their layers are mounted anew, since events name the data file.
 */
function openLostBook(root: string, log: Log): StoredSlotBook<FaceFacts> {
  const book = openSlotBook<FaceFacts>(bookPath(root), { kind: 'erofs' });
  const names = existsSync(erofsPath(root)) ? readdirSync(erofsPath(root)) : [];
  // Nothing had been mounted yet.
  if (names.length === 0) return book;
  log.error({ file: bookPath(root) }, 'the record of what is mounted cannot be read; layers are mounted anew');
  const used = Math.max(...names.map(Number).filter(Number.isInteger));
  let slot = book.take();
  while (slot <= used) slot = book.take();
  book.set('unknown layers', { slot, superblocks: listSuperblocks() });
  return book;
}

async function openNewFace(setting: FaceSetting): Promise<OpenFace> {
  const { root, config, log, onChange } = setting;
  const configured = config.mount.backend;
  await detachLeftovers(root, log);
  const { useErofs, reason: choice } = await chooseErofs(root, config);
  let reason = choice;
  if (useErofs) {
    const server = openErofs(root, config, log, undefined);
    const held = { groupFd: server.groupFd };
    const keeping = startKeeper(root, held, keeperGraceMs);
    try {
      // Without it, this process's death would let holes read as zeros.
      await keeping;
      onChange({ descriptorStore: storeHeld(held, log) });
      log.info({ face: 'erofs', backend: configured, reason }, 'layers are shown through EROFS');
      onChange({ face: { kind: 'erofs', configured, reason, takenOver: false } });
      const book = openSlotBook<FaceFacts>(bookPath(root), { kind: 'erofs' });
      return guard(setting, createErofsFace(server, book, setting.builder), book, held, keeping, false);
    } catch (error) {
      await server.close();
      if (configured === 'erofs') throw error;
      reason = `EROFS works here, but its mounts have no keeper: ${describeError(error)}`;
      log.warn({ error: describeError(error) }, 'no keeper for EROFS mounts');
    }
  }
  const server = await FuseServer.mount(fusePath(root), fuseOptions(root, config, log));
  log.info({ face: 'fuse', backend: configured, reason }, 'layers are shown through FUSE');
  onChange({ face: { kind: 'fuse', configured, reason, takenOver: false } });
  const book = openSlotBook<FaceFacts>(bookPath(root), { kind: 'fuse', connection: server.connection });
  // Not awaited: until there is a keeper, this daemon's death ends the connection, and nothing worse.
  const held = { fuseFd: server.fd };
  onChange({ descriptorStore: storeHeld(held, log) });
  return guard(setting, createFuseFace(server, book), book, held, tryKeeper(setting, held), false);
}

async function chooseErofs(root: string, { mount }: Config) {
  if (mount.backend === 'fuse') return { useErofs: false, reason: 'configured' };
  if (mount.backend === 'auto' && isContained())
    return { useErofs: false, reason: 'in a container, whose end would also end the keeper' };
  const { works, reason } = await probeErofs(root);
  if (mount.backend === 'erofs' && !works) {
    throw new Error(`mount.backend = "erofs": ${describeError(reason)}; set "auto" or "fuse"`);
  }
  return { useErofs: works, reason: describeError(reason) };
}

/** The keeper would die with the daemon: a pod's cgroup is killed as a whole, and a container by its PID namespace. */
function isContained(): boolean {
  return process.env.KUBERNETES_SERVICE_HOST !== undefined || readlinkSync('/proc/self/ns/pid') !== initialPidNamespace;
}

/** Ties a face to its keeper, and starts another when that dies. */
function guard(
  setting: FaceSetting,
  face: Face,
  book: StoredSlotBook<FaceFacts>,
  held: HeldDescriptors,
  first: Promise<Keeper | undefined>,
  isAdopted: boolean,
): OpenFace {
  const { root, log, onChange } = setting;
  let ending: Promise<void> | undefined;
  let keeping = first;
  const watch = async (): Promise<void> => {
    for (;;) {
      const keeper = await keeping;
      if (keeper === undefined) await delay(keeperRetryMs, undefined, { ref: false });
      else {
        const guardAll = (): void =>
          keeper.guard([...book.slots.values()].flatMap((record) => record.superblocks ?? []));
        book.onChange = (added) => (added === undefined ? guardAll() : keeper.guardMore(added.superblocks ?? []));
        guardAll();
        log.info({ keeper: keeper.pid }, 'mounts outlive this process');
        onChange({ keeper: { pid: keeper.pid, reason: null } });
        await keeper.gone;
      }
      if (ending !== undefined) return;
      if (keeper !== undefined) {
        log.error({ keeper: keeper.pid }, 'the keeper died; starting another');
        onChange({ keeper: { pid: null, reason: `process ${keeper.pid} died; another is being started` } });
      }
      keeping = tryKeeper(setting, held);
    }
  };
  void watch();
  return {
    face,
    isAdopted,
    takeDown() {
      ending ??= (async () => {
        const isDown = await face.close();
        const keeper = await keeping;
        if (isDown) {
          book.remove();
          await keeper?.dismiss();
          emptyStore();
          onChange({ keeper: { pid: null, reason: 'nothing is mounted' } });
          return;
        }
        keeper?.release();
        log.error(
          { root, graceMs: keeperGraceMs },
          'mounts in use were left; after the grace period reads of missing content fail',
        );
      })();
      return ending;
    },
    leave() {
      ending ??= (async () => {
        const keeper = await keeping;
        if (keeper === undefined) {
          if (await face.close()) emptyStore();
          return;
        }
        await face.release?.();
        keeper.release();
      })();
      return ending;
    },
  };
}

function tryKeeper({ root, log, onChange }: FaceSetting, held: HeldDescriptors): Promise<Keeper | undefined> {
  return startKeeper(root, held, keeperGraceMs).catch((error) => {
    const reason = describeError(error);
    log.error({ error: reason }, 'no keeper: mounts will not outlive this process');
    onChange({ keeper: { pid: null, reason } });
    return undefined;
  });
}

function openErofs(root: string, config: Config, log: Log, groupFd: number | undefined): ErofsServer {
  return new ErofsServer(erofsPath(root), {
    groupFd,
    missLimitMs: missLimitMs(config),
    readaheadKib: readaheadKib(config),
    onTrace: traceErofs(log),
    onError(error, miss, layer) {
      const fields = { ...(miss && placeOfMiss(layer, miss.offset)), ...miss, error: describeError(error) };
      log.error(fields, miss === undefined ? 'mount error' : 'read failed');
    },
    onDeath(error) {
      log.error({ error: describeError(error) }, 'the thread that answers reads ended, and so does the daemon');
      process.exit(1);
    },
  });
}

function fuseOptions(root: string, config: Config, log: Log) {
  const { attr_timeout: attrSec, entry_timeout: entrySec } = config.fuse;
  return {
    validity: { ...(attrSec === 0 ? {} : { attrSec }), ...(entrySec === 0 ? {} : { entrySec }) },
    missLimitMs: missLimitMs(config),
    readaheadKib: readaheadKib(config),
    onTrace: traceFuse(log),
    onError(error: unknown, miss?: Miss, layer?: FuseLayer) {
      const { dataOffset, sizeBytes, pid } = miss ?? {};
      const place = miss && placeOfMiss(layer, miss.dataOffset);
      const fields = { ...place, offset: dataOffset, sizeBytes, pid, error: describeError(error) };
      log.error(fields, miss === undefined ? 'mount error' : 'read failed');
    },
    onDisconnect: () => log.error({ mountpoint: fusePath(root) }, 'the FUSE connection was ended from outside'),
  };
}

/**
 * Detaches EROFS mounts that have no guard, because the daemon and its keeper both died. New mounts of the same layers
 * mark the data files again; zeros read meanwhile stay in the page cache of mounts that containers still use.
 */
async function detachLeftovers(root: string, log: Log): Promise<void> {
  const left = listErofsMounts().filter((path) => path.startsWith(`${erofsPath(root)}/`));
  for (const path of left) await unmountImage(path, MNT_DETACH);
  if (left.length > 0)
    log.error({ mounts: left.length }, 'mounts found unguarded: restart containers that were running on them');
}

const readaheadKib = (config: Config): number =>
  config.record_accesses === '' ? defaultReadaheadKib : recordedReadaheadKib;
const missLimitMs = (config: Config): number => config.blob.fetching_timeout_sec * 1000;
const fusePath = (root: string): string => join(root, 'mnt');
const erofsPath = (root: string): string => join(root, 'erofs');
const bookPath = (root: string): string => join(root, 'face.json');
