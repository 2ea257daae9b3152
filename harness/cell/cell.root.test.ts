import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readAccesses } from '../../snapshotter/convert/accesses.ts';
import { convertImage } from '../../snapshotter/convert/image.ts';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import { tinyImage } from '../../testkit/images.ts';
import type { Workload } from '../../workloads/workload.ts';
import { createCellExecutor } from './cell.ts';
import { openSandbox, clearSandbox, startCell } from './sandbox.ts';
import { listMounts, mountsUnder } from '../../snapshotter/platform/mountinfo.ts';
import { findProcessesInCgroup, findProcessesNaming } from '../host/processes.ts';
import { pushImage } from '../images/synthetic-image.ts';
import { modes } from './modes/catalogue.ts';
import type { Mode } from '../run/mode.ts';
import { recordAccesses } from './record.ts';
import { type Link, startLink } from '../link/link.ts';
import { type Registry, startRegistry } from '../registry/registry.ts';
import type { CellExecutor, CellPhase } from '../run/run.ts';

const timeout = 120_000;
const [legacy, stargz, estargz] = modes as [Mode, Mode, Mode];
const tiny: Workload = {
  name: 'tiny',
  title: '',
  image: { name: 'tiny', directory: '', parent: undefined },
  command: undefined,
  env: [],
  stdin: undefined,
  ready: { kind: 'exit', stdout: 'hello\n' },
  timeoutMs: 20_000,
};

let stateDir: string;
let registry: Registry;
let link: Link;
let executor: CellExecutor;
let accessPath: string;

before(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'bench-cell-'));
  const signal = AbortSignal.timeout(timeout);
  registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  const at = (tag: string) => `${registry.address}/tiny:${tag}`;
  const client = new RegistryClient();
  await pushImage(client, { reference: at('legacy'), ...tinyImage }, signal);
  const source = parseReference(at('legacy'));
  await convertImage(client, source, parseReference(at('stargz')), { format: 'stargz', signal });
  accessPath = join(stateDir, 'accesses');
  const recording = { stateDir, registryAddress: registry.address, workload: tiny, path: accessPath };
  await recordAccesses({ ...recording, image: 'tiny:stargz' }, signal);
  const accesses = await readAccesses(accessPath);
  const recordedOn = parseReference(at('stargz'));
  await convertImage(client, source, parseReference(at('estargz')), {
    format: 'estargz',
    accesses,
    recordedOn,
    signal,
  });
  await client.close();
  link = await startLink({ target: registry.address, rttMs: 2, bandwidthMbps: undefined });
  executor = createCellExecutor({ stateDir, link, imageOf: (_, mode) => `tiny:${mode.variant}` });
});

after(async () => {
  await executor?.close();
  await link?.close();
  await registry?.close();
  await clearSandbox(openSandbox(stateDir));
  await rm(stateDir, { recursive: true, force: true });
});

const cell = (mode: Mode, workload: Workload = tiny) => ({ order: 1, sample: 1, workload, mode });

async function assertNothingLeft(): Promise<void> {
  const sandbox = openSandbox(stateDir);
  assert.deepEqual(mountsUnder(sandbox.directory), []);
  assert.deepEqual(await findProcessesNaming(sandbox.directory), []);
  assert.deepEqual(await findProcessesInCgroup(sandbox.idPrefix), []);
  const groups = listMounts()
    .filter((mount) => mount.type.startsWith('cgroup'))
    .map((mount) => readdir(mount.path));
  const left = (await Promise.all(groups)).flat().filter((name) => name.startsWith(sandbox.idPrefix));
  assert.deepEqual(left, []);
}

test('the record names the files that the workload read, and their layers', { timeout }, async () => {
  const paths = (await readAccesses(accessPath)).map((access) => access.path);
  assert.ok(paths.includes('bin/busybox'));
  assert.ok(paths.includes('greeting'));
  assert.equal(new Set((await readAccesses(accessPath)).map((access) => access.layer)).size, 2);
});

for (const mode of modes) {
  test(`a cell of mode ${mode.name} is measured and proven, and leaves nothing`, { timeout }, async (t) => {
    const phases: CellPhase[] = [];
    const outcome = await executor.execute(cell(mode), (phase) => phases.push(phase), t.signal);
    assert.ok(outcome.ok, outcome.ok ? '' : outcome.error);
    assert.deepEqual(phases, ['reset', 'start', 'pull', 'create', 'run', 'collect', 'stop']);
    for (const durationMs of [outcome.pullMs, outcome.createMs, outcome.runMs]) assert.ok(durationMs > 0);
    assert.equal(outcome.layers, 2);
    assert.equal(outcome.lazyLayers, mode === legacy ? 0 : 2);
    assert.equal(outcome.snapshotter, mode.snapshotter);
    assert.ok(mode === legacy ? outcome.mount === 'overlayfs' : outcome.mount !== 'overlayfs');
    assert.equal(outcome.mountReason === undefined, mode === legacy);
    assert.equal(outcome.daemonCpuMs === undefined, mode === legacy);
    assert.equal(outcome.daemonRssPeakKib === undefined, mode === legacy);
    assert.ok(outcome.wireBytes! > 1000 && outcome.wireRequests! >= 3);
    assert.ok(outcome.imageBytes! > 100_000);
    assert.deepEqual(outcome.warnings, []);
    await assertNothingLeft();
  });
}

test('a peer is measured and proven as ours is, and a warm daemon after another image', { timeout }, async (t) => {
  const peer = join(import.meta.dirname, 'testing/peer.sh');
  const pulled: string[] = [];
  const both = createCellExecutor({
    stateDir,
    link,
    imageOf: (workload, { variant }) => {
      pulled.push(workload.name);
      return `tiny:${variant}`;
    },
    warmUpFor: () => ({ ...tiny, name: 'other' }),
  });
  for (const mode of [
    { ...stargz, peer },
    { ...estargz, peer, daemonState: 'warm' as const },
  ]) {
    const outcome = await both.execute(cell(mode), () => {}, t.signal);
    assert.ok(outcome.ok, outcome.ok ? '' : outcome.error);
    assert.equal(outcome.lazyLayers, 2);
    assert.equal(outcome.mountReason, undefined);
    assert.equal(outcome.daemonState, mode.daemonState);
    assert.deepEqual(outcome.warnings, []);
    await assertNothingLeft();
  }
  assert.deepEqual(pulled, ['tiny', 'tiny', 'other']);
});

test('a peer that is no snapshotter fails its cell within the limit, with its own words', { timeout }, async (t) => {
  const outcome = await executor.execute(cell({ ...stargz, peer: '/bin/false' }), () => {}, t.signal);
  assert.ok(!outcome.ok && /\/bin\/false ended while starting/.test(outcome.error));
  await assertNothingLeft();
});

test('an image that cannot be pulled lazily gives an error rather than a measurement', { timeout }, async (t) => {
  const plain = createCellExecutor({ stateDir, link, imageOf: () => 'tiny:legacy' });
  const outcome = await plain.execute(cell(estargz), () => {}, t.signal);
  assert.ok(!outcome.ok);
  assert.match(outcome.error, /not pulled lazily: layer 1 of 2/);
  assert.equal(outcome.lazyLayers, 0);
  await assertNothingLeft();
});

test('a missing image or a wrong output fails the cell', { timeout }, async (t) => {
  const absent = createCellExecutor({ stateDir, link, imageOf: () => 'tiny:absent' });
  const missing = await absent.execute(cell(legacy), () => {}, t.signal);
  assert.ok(!missing.ok && /not found/.test(missing.error));
  const bye = { ...tiny, ready: { kind: 'exit', stdout: 'bye\n' } } as const;
  const wrong = await executor.execute(cell(stargz, bye), () => {}, t.signal);
  assert.ok(!wrong.ok && /"hello\\n" instead of "bye\\n"/.test(wrong.error));
  await assertNothingLeft();
});

test('an abort rejects with its reason and leaves nothing', { timeout }, async () => {
  for (const phase of ['start', 'run'] as const) {
    const controller = new AbortController();
    const reason = new Error(`interrupted in ${phase}`);
    const running = executor.execute(
      cell(stargz),
      (now) => {
        if (now === phase) controller.abort(reason);
      },
      controller.signal,
    );
    await assert.rejects(running, reason);
    await assertNothingLeft();
  }
});

test('what a killed run left is removed', { timeout }, async (t) => {
  const sandbox = openSandbox(stateDir);
  await clearSandbox(sandbox);
  const setting = { snapshotter: 'stargz', daemonConfig: stargz.daemonConfig, registryAddress: link.address } as const;
  const running = await startCell(sandbox, setting, t.signal);
  const sleeper = { ...tiny, command: ['sh', '-c', 'cat /greeting; exec sleep 60'] };
  const container = await running.prepareContainer({ ...sleeper, ready: { kind: 'line', pattern: /hello/ } });
  await running.containerd.pull(`${link.address}/tiny:stargz`, t.signal);
  await container.create(await running.containerd.readImage(`${link.address}/tiny:stargz`, t.signal), t.signal);
  await container.runUntilReady(t.signal);
  assert.ok((await findProcessesNaming(sandbox.directory)).length >= 3);
  running.containerd.client.close();
  // As after a SIGKILL of this process, nothing is stopped.
  await clearSandbox(sandbox);
  await assertNothingLeft();
  await assert.rejects(readFile(join(sandbox.directory, 'containerd', 'config.toml')), { code: 'ENOENT' });
});
