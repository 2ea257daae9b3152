import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { mountAt, unmountUnder } from '../harness/host/mounts.ts';
import { openClient } from '../snapshotter/api/client.ts';
import { findKeeper } from '../snapshotter/handover/keeper/keeper.ts';
import { digestHex, digestOf } from '../snapshotter/registry/digest.ts';
import { startDaemon, type TestDaemon } from './daemon.ts';
import type { StandInStore } from './descriptor-store.ts';
import { type Gate, openGate } from './gate.ts';
import { pushLazy, writeInto } from './images.ts';
import { type Lifetime, undoAfter } from './lifetime.ts';
import { pseudoRandomBytes } from './random.ts';
import { startRegistry } from './registry.ts';
import { openScratch } from './scratch.ts';
import { until } from './until.ts';

const keeperLimitMs = 30_000;
const fileCount = 40;
const contents = Array.from({ length: fileCount }, (_, index) => pseudoRandomBytes(20_000 + index * 9000, index));

/** SHA-256 of the files that `sum` reads, by index. */
export const expected = contents.map((content) => digestHex(digestOf(content)));

/** An image of two layers on a registry behind a gate; the files are in the lower layer. */
export interface LazyImage {
  readonly reference: string;
  readonly layer: string;
  readonly upperLayer: string;
  readonly gate: Gate;
  /** For the directories of the daemons. */
  readonly scratch: string;
}

export async function serveLazyImage(lifetime: Lifetime): Promise<LazyImage> {
  const scratch = openScratch(lifetime, 'crash');
  const registry = await startRegistry(lifetime);
  const gate = await openGate(lifetime, registry.host);
  const fill = (root: string) => {
    for (const [index, content] of contents.entries()) writeFileSync(join(root, `f${index}`), content);
  };
  const { layers } = await pushLazy(
    { reference: `${registry.host}/files:lazy`, layers: [fill, writeInto('other', pseudoRandomBytes(50_000, 1001))] },
    { chunkSizeBytes: 32_768 },
  );
  return {
    reference: `${gate.address}/files:lazy`,
    layer: layers[0]!.digest,
    upperLayer: layers[1]!.digest,
    gate,
    scratch,
  };
}

/** A daemon, and a container's root file system on the lower layer of the image. */
export interface Bench {
  readonly directory: string;
  /** The daemon's. */
  readonly stateRoot: string;
  /** The container's. */
  readonly root: string;
  daemon: TestDaemon;
  /** Starts the daemon again after it was stopped. */
  restart(extraConfig?: string): Promise<void>;
}

export async function openBench(
  t: TestContext,
  image: LazyImage,
  backend: 'fuse' | 'erofs',
  {
    makeStateRoot = (directory) => join(directory, 'root'),
    store,
    logLevel = 'debug',
  }: { makeStateRoot?: (directory: string) => string; store?: StandInStore; logLevel?: string } = {},
): Promise<Bench> {
  await image.gate.open();
  const directory = mkdtempSync(join(image.scratch, `${backend}-`));
  const stateRoot = makeStateRoot(directory);
  const root = join(directory, 'c');
  undoAfter(t, async () => {
    await (await findKeeper(stateRoot))?.keeper.dismiss();
    await unmountUnder(directory);
  });
  const start = (extraConfig: string) =>
    startDaemon(t, directory, {
      root: stateRoot,
      logLevel,
      ...store?.startOptions,
      config:
        'disable_verification = true\nno_background_fetch = true\nnoprefetch = true\n' +
        `[cache]\nadaptive_fetch = false\n[mount]\nbackend = "${backend}"\n${extraConfig}`,
    });
  const bench: Bench = {
    directory,
    stateRoot,
    root,
    daemon: await start(''),
    async restart(extraConfig = '') {
      bench.daemon = await start(extraConfig);
      undoAfter(t, () => unmountUnder(root));
    },
  };
  // The daemon cannot unmount a layer that a container uses.
  undoAfter(t, () => unmountUnder(root));
  await pullLayer(bench, image, 'layer', image.layer);
  const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', bench.daemon.address);
  await snapshots.prepare({ key: 'container', parent: 'layer' });
  snapshots.close();
  await mountContainer(bench);
  return bench;
}

export async function mountContainer({ daemon, root }: Bench): Promise<void> {
  const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  await mountAt((await snapshots.mounts({ key: 'container' })).mounts, root);
  snapshots.close();
}

/** Asks for a layer as containerd does; `siblings`: all layers of the image. */
export async function pullLayer(
  { daemon }: Bench,
  { reference }: LazyImage,
  name: string,
  digest: string,
  siblings: readonly string[] = [],
): Promise<void> {
  const snapshots = openClient('containerd.services.snapshots.v1.Snapshots', daemon.address);
  const labels = {
    'containerd.io/snapshot.ref': name,
    'containerd.io/snapshot/cri.image-ref': reference,
    'containerd.io/snapshot/cri.layer-digest': digest,
    ...(siblings.length === 0 ? {} : { 'containerd.io/snapshot/cri.image-layers': siblings.join(',') }),
  };
  const error = await snapshots.prepare({ key: `extract ${name}`, labels }).then(
    () => new Error('the layer was not mounted lazily'),
    (reason: { code?: string }) => reason,
  );
  snapshots.close();
  if ((error as { code?: string }).code !== 'ALREADY_EXISTS') throw new Error(`${String(error)}\n${daemon.log()}`);
}

/** SHA-256 of a file as a separate process reads it, or 'failed'. */
export function sum(t: TestContext, { root }: Bench, index: number): Promise<string> {
  const child: ChildProcess = spawn('sha256sum', [join(root, `f${index}`)], { stdio: ['ignore', 'pipe', 'ignore'] });
  undoAfter(t, () => child.kill('SIGKILL'));
  let text = '';
  child.stdout!.on('data', (piece) => {
    text += String(piece);
  });
  return new Promise((resolve) => child.once('close', (code) => resolve(code === 0 ? text.split(' ')[0]! : 'failed')));
}

export function sumAll(t: TestContext, bench: Bench): Promise<string[]> {
  return Promise.all(contents.map((_, index) => sum(t, bench, index)));
}

/** Waits until the bench's daemon has a keeper, other than `previous` where that is given; its pid. */
export async function keeperOf({ daemon }: Pick<Bench, 'daemon'>, previous?: number): Promise<number> {
  const other = () => {
    const { pid } = daemon.status().keeper;
    return pid !== previous && pid;
  };
  return until('the daemon has a keeper', other, { limitMs: keeperLimitMs });
}
