import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { until } from '../../testkit/until.ts';
import { openClient } from '../api/client.ts';
import { convertImage } from '../convert/image.ts';
import { findKeeper } from '../handover/keeper/keeper.ts';
import type { LogLevel } from '../platform/log.ts';
import { RegistryClient } from '../registry/client.ts';
import { digestOf } from '../registry/digest.ts';
import { parseReference } from '../registry/reference.ts';
import { startDockerRegistry } from '../registry/testing/docker-registry.ts';
import { mountAt, mountsBelow, unmount } from '../service/testing/mounts.ts';
import { startDaemon, type TestDaemon } from '../service/testing/process.ts';
import type { StandInStore } from './descriptor-store.ts';
import { pushImage } from './image.ts';

const keeperLimitMs = 30_000;
const fileCount = 40;
const contents = Array.from({ length: fileCount }, (_, index) => randomBytes(20_000 + index * 9000));

/** Digests of the files that `sum` reads, by index. */
export const expected = contents.map((content) => digestOf(content).slice('sha256:'.length));

/** An image of two layers, the lower one with the files, on a registry behind a gate. */
export interface LazyImage {
  readonly reference: string;
  readonly layer: string;
  readonly upperLayer: string;
  readonly gate: Gate;
  /** For the directories of the daemons. */
  readonly scratch: string;
  close(): Promise<void>;
}

export async function serveLazyImage(): Promise<LazyImage> {
  const client = new RegistryClient();
  const registry = await startDockerRegistry();
  const signal = AbortSignal.timeout(60_000);
  const fill = (root: string) => {
    for (const [index, content] of contents.entries()) writeFileSync(join(root, `f${index}`), content);
  };
  const other = (root: string) => writeFileSync(join(root, 'other'), randomBytes(50_000));
  const plain = parseReference(`${registry.host}/files:plain`);
  const lazy = parseReference(`${registry.host}/files:lazy`);
  await pushImage(client, { name: `${registry.host}/files:plain`, layers: [fill, other], command: ['/x'] }, signal);
  await convertImage(client, plain, lazy, { format: 'estargz', chunkSizeBytes: 32_768, signal });
  const { bytes } = await client.fetchManifest(lazy, signal);
  const { layers } = JSON.parse(bytes.toString()) as { layers: { digest: string }[] };
  const gate = await openGate(registry.host);
  const scratch = mkdtempSync('/tmp/crash-');
  return {
    reference: `127.0.0.1:${gate.port}/files:lazy`,
    layer: layers[0]!.digest,
    upperLayer: layers[1]!.digest,
    gate,
    scratch,
    async close() {
      gate.close();
      await client.close();
      await registry.close();
      rmSync(scratch, { recursive: true, force: true });
    },
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
  /** After it was stopped. */
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
  }: { makeStateRoot?: (directory: string) => string; store?: StandInStore; logLevel?: LogLevel } = {},
): Promise<Bench> {
  image.gate.open();
  const directory = mkdtempSync(join(image.scratch, `${backend}-`));
  const stateRoot = makeStateRoot(directory);
  const start = (extraConfig: string) =>
    startDaemon(directory, {
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
    root: join(directory, 'c'),
    daemon: await start(''),
    async restart(extraConfig = '') {
      bench.daemon = await start(extraConfig);
    },
  };
  t.after(() => tearDown(bench));
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

/** As containerd does it for one layer; `siblings`: all layers of the image. */
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

/** The digest of a file by a process of its own, or 'failed' where it could not be read. */
export function sum(t: TestContext, { root }: Bench, index: number): Promise<string> {
  const child: ChildProcess = spawn('sha256sum', [join(root, `f${index}`)], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
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

async function tearDown({ directory, stateRoot, root, daemon }: Bench): Promise<void> {
  if (mountsBelow(root).length > 0) await unmount(root).catch(() => {});
  await daemon.stop('SIGINT');
  await (await findKeeper(stateRoot))?.keeper.dismiss();
  for (const point of mountsBelow(directory)) await unmount(point);
}

export interface Gate {
  readonly port: number;
  open(): void;
  /** What is under way stops, and so does what comes. */
  shut(): void;
  close(): void;
}

/** The registry behind a door: shut, connections are taken and nothing comes back. */
async function openGate(target: string): Promise<Gate> {
  const [host, port] = target.split(':') as [string, string];
  const sockets = new Set<Socket>();
  let isOpen = true;
  const server: Server = createServer((socket) => {
    const upstream = connect(Number(port), host);
    for (const one of [socket, upstream]) {
      sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        socket.destroy();
        upstream.destroy();
      });
    }
    if (!isOpen) upstream.pause();
    socket.pipe(upstream).pipe(socket);
    if (!isOpen) upstream.unpipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    open() {
      // Those that waited are lost: whoever still wants something dials again.
      if (!isOpen) for (const socket of sockets) socket.destroy();
      isOpen = true;
    },
    shut() {
      isOpen = false;
      for (const socket of sockets) socket.unpipe();
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
