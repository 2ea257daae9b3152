import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAccesses } from '../../snapshotter/convert/accesses.ts';
import { parseDigest } from '../../snapshotter/registry/digest.ts';
import { findProcessesNaming } from '../host/processes.ts';
import type { Mode } from '../run/mode.ts';
import type { CellPhase } from '../run/run.ts';
import { firstRuns, modes, withSecondRuns } from './modes/catalogue.ts';
import { clearSandbox, openSandbox, startCell } from './sandbox.ts';
import { cell, timeout, tiny, useCellBed } from './testing/cell-bed.ts';
import { pushMismatch, pushMixed } from './testing/spoiled-images.ts';

const [legacy, stargz, estargz] = modes as [Mode, Mode, Mode];
/** docker and erofs need programs of their own, and tests of their own. */
const containerdModes = firstRuns.filter(({ engine, snapshotter }) => engine !== 'docker' && snapshotter !== 'erofs');

const estargzNoopt = firstRuns.find(({ name }) => name === 'estargz-noopt')!;

const fixture = useCellBed();
const { assertNothingLeft } = fixture;

test('the record names the files that the workload read, and their layers', { timeout }, async () => {
  const paths = (await readAccesses(fixture.bed.accessPath)).map((access) => access.path);
  assert.ok(paths.includes('bin/busybox'));
  assert.ok(paths.includes('greeting'));
  assert.equal(new Set((await readAccesses(fixture.bed.accessPath)).map((access) => access.layer)).size, 2);
});

for (const mode of containerdModes) {
  test(`a cell of mode ${mode.name} is measured and proven, and leaves nothing`, { timeout }, async (t) => {
    const phases: CellPhase[] = [];
    const outcome = await fixture.bed.executor.execute(cell(mode), (phase) => phases.push(phase), t.signal);
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

test('estargz-fuse is mounted with FUSE, whatever this machine would choose', { timeout }, async (t) => {
  const mode = firstRuns.find(({ name }) => name === 'estargz-fuse')!;
  const outcome = await fixture.bed.executor.execute(cell(mode), () => {}, t.signal);
  assert.deepEqual([outcome.mount, outcome.mountReason], ['fuse', 'configured']);
});

// Of two optimised images, each has its own order of files, so they share no layer.
for (const first of [legacy, estargzNoopt]) {
  const [, again, shared] = withSecondRuns(first) as [Mode, Mode, Mode];
  test(`${first.name} once more costs less than ${first.name} after an image that shares layers`, {
    timeout,
  }, async (t) => {
    const measure = (mode: Mode) => fixture.bed.executor.execute(cell(mode), () => {}, t.signal);
    const [once, afterOther, twice] = [await measure(first), await measure(shared), await measure(again)];
    for (const outcome of [once, afterOther, twice]) assert.ok(outcome.ok, outcome.ok ? '' : outcome.error);
    assert.deepEqual([once.daemonState, afterOther.daemonState, twice.daemonState], [undefined, 'shared', 'again']);
    assert.ok(once.wireBytes! > afterOther.wireBytes!, `${once.wireBytes} > ${afterOther.wireBytes}`);
    assert.ok(afterOther.wireBytes! >= twice.wireBytes!, `${afterOther.wireBytes} >= ${twice.wireBytes}`);
    assert.deepEqual(
      [once, afterOther, twice].map(({ warnings }) => warnings),
      [[], [], []],
    );
    await assertNothingLeft();
  });
}

test('a second run of which nothing can come before is an error, not a first run', { timeout }, async (t) => {
  const alone = fixture.bed.openCells({ sharingWith: () => undefined });
  const [, , shared] = withSecondRuns(estargz) as [Mode, Mode, Mode];
  const outcome = await alone.execute(cell(shared), () => {}, t.signal);
  assert.ok(!outcome.ok && /there is no workload to run before tiny in estargz\+shared/.test(outcome.error));
  await assertNothingLeft();
});

const anew = 'npm run images -- prune --variants legacy removes what was converted, and the next run converts it again';

test('an image that cannot be pulled lazily gives an error rather than a measurement', { timeout }, async (t) => {
  const plain = fixture.bed.openCells({ imageOf: () => 'tiny:legacy' });
  const outcome = await plain.execute(cell(estargz), () => {}, t.signal);
  assert.ok(!outcome.ok);
  const reason = 'the daemon says not-lazy: an ordinary layer, without a stargz footer';
  assert.equal(outcome.error, `not pulled lazily: layers 1-2 of 2: ${reason}; ${anew}`);
  assert.equal(outcome.lazyLayers, 0);
  await assertNothingLeft();
});

test('an error row says what the daemon says of the one layer that is at fault', { timeout }, async (t) => {
  const { registry } = fixture.bed;
  const promised = parseDigest(`sha256:${'ab'.repeat(32)}`);
  const { tocDigest } = await pushMismatch({ registry: registry.address, tag: 'mismatch' }, promised, t.signal);
  const mismatching = fixture.bed.openCells({ imageOf: () => 'tiny:mismatch' });
  const outcome = await mismatching.execute(cell(estargz), () => {}, t.signal);
  assert.ok(!outcome.ok);
  const reason = `toc-digest-mismatch: its TOC has digest ${tocDigest}, the image promises ${promised}`;
  assert.equal(outcome.error, `not pulled lazily: layer 2 of 2: the daemon says ${reason}; ${anew}`);
  assert.equal(outcome.lazyLayers, 1);

  await pushMixed({ registry: registry.address, tag: 'mixed' }, t.signal);
  const mixed = await fixture.bed.openCells({ imageOf: () => 'tiny:mixed' }).execute(cell(estargz), () => {}, t.signal);
  assert.ok(!mixed.ok);
  assert.match(mixed.error, /layer 1 of 2: the daemon says not-lazy: .*; layer 2 of 2: containerd downloads every /);
  await assertNothingLeft();
});

test('a missing image or a wrong output fails the cell', { timeout }, async (t) => {
  const absent = fixture.bed.openCells({ imageOf: () => 'tiny:absent' });
  const missing = await absent.execute(cell(legacy), () => {}, t.signal);
  assert.ok(!missing.ok && /not found/.test(missing.error));
  const bye = { ...tiny, ready: { kind: 'exit', stdout: 'bye\n' } } as const;
  const wrong = await fixture.bed.executor.execute(cell(stargz, bye), () => {}, t.signal);
  assert.ok(!wrong.ok && /"hello\\n" instead of "bye\\n"/.test(wrong.error));
  await assertNothingLeft();
});

test('an abort rejects with its reason and leaves nothing', { timeout }, async () => {
  for (const phase of ['start', 'run'] as const) {
    const controller = new AbortController();
    const reason = new Error(`interrupted in ${phase}`);
    const running = fixture.bed.executor.execute(
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
  const sandbox = openSandbox(fixture.bed.stateDir);
  await clearSandbox(sandbox);
  const setting = {
    snapshotter: 'stargz',
    daemonConfig: stargz.daemonConfig,
    registryAddress: fixture.bed.link.address,
  } as const;
  const running = await startCell(sandbox, setting, t.signal);
  const sleeper = { ...tiny, command: ['sh', '-c', 'cat /greeting; exec sleep 60'] };
  const container = await running.prepareContainer({ ...sleeper, ready: { kind: 'line', pattern: /hello/ } });
  await running.containerd.pull(`${fixture.bed.link.address}/tiny:stargz`, t.signal);
  await container.create(
    await running.containerd.readImage(`${fixture.bed.link.address}/tiny:stargz`, t.signal),
    t.signal,
  );
  await container.runUntilReady(t.signal);
  assert.ok((await findProcessesNaming(sandbox.directory)).length >= 3);
  running.containerd.client.close();
  // As after a SIGKILL of this process, nothing is stopped.
  await clearSandbox(sandbox);
  await assertNothingLeft();
  await assert.rejects(readFile(join(sandbox.directory, 'containerd', 'config.toml')), { code: 'ENOENT' });
});
