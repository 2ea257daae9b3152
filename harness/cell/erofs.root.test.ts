import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureErofsPrograms, hasErofsSnapshotter } from '../containerd/erofs-programs.ts';
import { firstRuns } from './modes/catalogue.ts';
import { cell, timeout, useCellBed } from './testing/cell-bed.ts';

/** Kept between test runs. */
const cacheDir = '/var/lib/stargz-bench/containerd';
const modeOf = (name: string) => firstRuns.find((mode) => mode.name === name)!;

const fixture = useCellBed();

test("containerd's erofs snapshotter is measured with the same containerd as the other modes", {
  timeout: 2 * timeout,
}, async () => {
  const signal = AbortSignal.timeout(2 * timeout);
  const programs = await ensureErofsPrograms(cacheDir, signal);
  const executor = fixture.bed.openCells({ programs });
  for (const name of ['erofs', 'legacy', 'estargz']) {
    const outcome = await executor.execute(cell(modeOf(name)), () => {}, signal);
    assert.ok(outcome.ok, outcome.ok ? '' : outcome.error);
    if (name !== 'estargz') assert.equal(outcome.mount, name === 'erofs' ? 'erofs' : 'overlayfs');
    assert.equal(outcome.lazyLayers, name === 'estargz' ? 2 : 0);
    assert.deepEqual(outcome.warnings, []);
    await fixture.assertNothingLeft();
  }
});

test('containerd has that snapshotter from 2.1 on', () => {
  const line = (version: string) => `containerd github.com/containerd/containerd ${version} abc`;
  assert.deepEqual(
    ['1.6.20~ds1', 'v1.7.24', 'v2.0.5', 'v2.1.0', '2.1.9+unknown', 'v3.0.0'].map((version) =>
      hasErofsSnapshotter(line(version)),
    ),
    [false, false, false, true, true, true],
  );
  assert.equal(hasErofsSnapshotter('no version'), false);
});
