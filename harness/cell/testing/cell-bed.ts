import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { execa } from 'execa';
import { readAccesses } from '../../../snapshotter/convert/accesses.ts';
import { convertImage } from '../../../snapshotter/convert/image.ts';
import { listMounts, mountsUnder } from '../../../snapshotter/platform/mountinfo.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import { tinyImage, writeInto } from '../../../testkit/images.ts';
import { until } from '../../../testkit/until.ts';
import type { Workload } from '../../../workloads/workload.ts';
import { findProcessesInCgroup, findProcessesNaming } from '../../host/processes.ts';
import { type FillLayer, fillShell, pushImage } from '../../images/synthetic-image.ts';
import { type Link, startLink } from '../../link/link.ts';
import { type Registry, startRegistry } from '../../registry/registry.ts';
import type { Mode } from '../../run/mode.ts';
import type { CellExecutor } from '../../run/run.ts';
import { type CellExecutorOptions, createCellExecutor } from '../cell.ts';
import { recordAccesses } from '../record.ts';
import { clearSandbox, openSandbox } from '../sandbox.ts';

export const timeout = 120_000;

/** Prints a greeting from an image of two layers. */
export const tiny: Workload = {
  name: 'tiny',
  title: '',
  image: { name: 'tiny', directory: '', parent: undefined },
  command: undefined,
  env: [],
  stdin: undefined,
  ready: { kind: 'exit', stdout: 'hello\n' },
  timeoutMs: 20_000,
};

/** The same from an image with one layer more. */
export const other: Workload = { ...tiny, name: 'other', image: { ...tiny.image, name: 'other' } };

/** A registry with small images in every variant, a link to it, and cells. */
export interface CellBed extends AsyncDisposable {
  readonly stateDir: string;
  readonly registry: Registry;
  readonly link: Link;
  readonly executor: CellExecutor;
  /** What `tiny` read of its stargz image. */
  readonly accessPath: string;
  openCells(options?: Partial<CellExecutorOptions>): CellExecutor;
}

async function openCellBed(): Promise<CellBed> {
  await using stack = new AsyncDisposableStack();
  const signal = AbortSignal.timeout(timeout);
  const stateDir = await mkdtemp(join(tmpdir(), 'bench-cell-'));
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  stack.defer(() => clearSandbox(openSandbox(stateDir)));
  const registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  stack.defer(() => registry.close());
  const accessPath = join(stateDir, 'accesses');
  await pushVariants(stateDir, registry, accessPath, signal);
  const link = await startLink({ target: registry.address, rttMs: 2, bandwidthMbps: undefined });
  stack.defer(() => link.close());
  const openCells = (options: Partial<CellExecutorOptions> = {}) =>
    createCellExecutor({
      stateDir,
      link,
      imageOf: ({ image }, { variant }) => `${image.name}:${variant}`,
      sharingWith: () => other,
      ...options,
    });
  const executor = openCells();
  stack.defer(() => executor.close());
  const owned = stack.move();
  const dispose = () => owned.disposeAsync();
  return { stateDir, registry, link, executor, accessPath, openCells, [Symbol.asyncDispose]: dispose };
}

/** A bed for the tests of a file, opened before the first and closed after the last. */
export function useCellBed() {
  let bed: CellBed | undefined;
  before(async () => {
    bed = await openCellBed();
  });
  after(async () => {
    await bed?.[Symbol.asyncDispose]();
  });
  return {
    get bed(): CellBed {
      return bed!;
    },
    assertNothingLeft: () => assertNothingLeft(bed!.stateDir),
    /** Measures one cell. */
    measure: (mode: Mode, workload: Workload = tiny) =>
      bed!.executor.execute(cell(mode, workload), () => {}, AbortSignal.timeout(timeout)),
  };
}

async function pushVariants(
  stateDir: string,
  registry: Registry,
  accessPath: string,
  signal: AbortSignal,
): Promise<void> {
  const client = new RegistryClient();
  const at = (name: string) => parseReference(`${registry.address}/${name}`);
  // Packed once: with other times they would be other layers.
  const layers = await Promise.all(
    [fillShell, writeInto('greeting', 'hello\n')].map((fill) => packTar(stateDir, fill)),
  );
  const images = { tiny: layers, other: [...layers, writeInto('more', 'more\n')] };
  try {
    for (const [name, own] of Object.entries(images)) {
      const reference = `${registry.address}/${name}:legacy`;
      await pushImage(client, { ...tinyImage, reference, layers: own }, signal);
      const source = at(`${name}:legacy`);
      await convertImage(client, source, at(`${name}:stargz`), { format: 'stargz', signal });
      await convertImage(client, source, at(`${name}:estargz-noopt`), { format: 'estargz', signal });
      const path = name === 'tiny' ? accessPath : `${accessPath}-${name}`;
      const recording = { stateDir, registryAddress: registry.address, workload: tiny, path };
      await recordAccesses({ ...recording, image: `${name}:stargz` }, signal);
      const optimised = { accesses: await readAccesses(path), recordedOn: at(`${name}:stargz`), signal };
      await convertImage(client, source, at(`${name}:estargz`), { format: 'estargz', ...optimised });
      await convertImage(client, source, at(`${name}:zstdchunked`), { format: 'zstd-chunked', ...optimised });
    }
  } finally {
    await client.close();
  }
}

async function packTar(stateDir: string, fill: FillLayer): Promise<Buffer> {
  const root = await mkdtemp(join(stateDir, 'layer-'));
  await fill(root);
  const { stdout } = await execa('tar', ['-C', root, '--format=posix', '--sort=name', '-c', '.'], {
    encoding: 'buffer',
  });
  return Buffer.from(stdout);
}

export function cell(mode: Mode, workload: Workload = tiny) {
  return { order: 1, sample: 1, workload, mode, link: undefined };
}

/** Fails if a mount, a process or a control group of a cell is there. */
async function assertNothingLeft(stateDir: string): Promise<void> {
  const sandbox = openSandbox(stateDir);
  assert.deepEqual(mountsUnder(sandbox.directory), []);
  // On a busy machine containerd's last shim, which cleans up after another, may still be ending.
  const named = async (): Promise<boolean> => (await findProcessesNaming(sandbox.directory)).length === 0;
  await until('the end of all processes of the sandbox', named, { limitMs: 30_000 });
  assert.deepEqual(await findProcessesInCgroup(sandbox.idPrefix), []);
  const groups = listMounts()
    .filter((mount) => mount.type.startsWith('cgroup'))
    .map((mount) => readdir(mount.path));
  const left = (await Promise.all(groups)).flat().filter((name) => name.startsWith(sandbox.idPrefix));
  assert.deepEqual(left, []);
}
