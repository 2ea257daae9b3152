import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { startPeer } from '../daemon/daemon.ts';
import { type Peer, resolvePeer } from '../daemon/peer.ts';
import { parsePeers } from '../daemon/peers-file.ts';
import { variantNames } from '../images/variants.ts';
import { peerModes } from '../run/peer-modes.ts';
import { cell, timeout, tiny, useCellBed } from './testing/cell-bed.ts';

const standInPath = join(import.meta.dirname, 'testing/peer.sh');

const fixture = useCellBed();

const { assertNothingLeft, measure } = fixture;

function peerOf(lines: readonly string[]): Peer {
  const [peer] = parsePeers(['[peer.stand-in]', ...lines].join('\n'), '/peers.toml', variantNames);
  return peer!;
}

function standIn(...lines: readonly string[]): Peer {
  const command = [standInPath, '--address', '{socket}', '--root', '{root}', '--config', '{config}'];
  return peerOf([`command = ${JSON.stringify(command)}`, ...lines]);
}

const modeOf = (peer: Peer, variant: string) => peerModes(peer).find((mode) => mode.variant === variant)!;

test('a peer is measured and proven as ours is, and a warm daemon after another image', { timeout }, async (t) => {
  const peer = standIn('variants = ["estargz"]', 'config = { no_background_fetch = true }');
  const pulled: string[] = [];
  const cells = fixture.bed.openCells({
    imageOf: (workload, { variant }) => {
      pulled.push(workload.name);
      return `tiny:${variant}`;
    },
    warmUpFor: () => ({ ...tiny, name: 'before' }),
  });
  const mode = modeOf(peer, 'estargz');
  for (const measured of [mode, { ...mode, daemonState: 'warm' as const }]) {
    const outcome = await cells.execute(cell(measured), () => {}, t.signal);
    assert.ok(outcome.ok, outcome.ok ? '' : outcome.error);
    assert.equal(outcome.lazyLayers, 2);
    assert.deepEqual([outcome.snapshotter, outcome.mountReason], ['stand-in', undefined]);
    assert.equal(outcome.daemonState, measured.daemonState);
    assert.deepEqual(outcome.warnings, []);
    await assertNothingLeft();
  }
  assert.deepEqual(pulled, ['tiny', 'tiny', 'before']);
});

test('a peer that unpacks instead of mounting is an error row, unless it does not claim to be lazy', {
  timeout,
}, async () => {
  const lazy = await measure(modeOf(standIn('variants = ["legacy"]'), 'legacy'));
  assert.ok(
    !lazy.ok &&
      /^not pulled lazily: layer 1 of 2: .*, layer 2 of 2: .*; .* lazy = false or eager_layers for stand-in/.test(
        lazy.error,
      ),
  );
  await assertNothingLeft();
  const partly = await measure(modeOf(standIn('variants = ["legacy"]', 'eager_layers = 1'), 'legacy'));
  assert.ok(!partly.ok, 'two layers are more than the one that it may download');
  const eager = await measure(modeOf(standIn('variants = ["legacy"]', 'lazy = false'), 'legacy'));
  assert.ok(eager.ok, eager.ok ? '' : eager.error);
  assert.deepEqual([eager.lazyLayers, eager.mount], [0, 'overlayfs']);
  await assertNothingLeft();
});

test('a peer that never answers is an error row within its limit, with the end of its log', { timeout }, async () => {
  const command = ['sh', '-c', 'echo waiting for nothing; exec sleep 60', '{socket}'];
  const peer = peerOf([`command = ${JSON.stringify(command)}`, 'variants = ["estargz"]', 'start_limit_s = 1']);
  const outcome = await measure(modeOf(peer, 'estargz'));
  assert.equal(
    outcome.ok ? '' : outcome.error,
    'the peer stand-in did not answer within 1 s: waiting for nothing; correct its command in the peers file, or raise start_limit_s',
  );
  await assertNothingLeft();
});

test('any answer to a gRPC call means that a peer has started', { timeout }, async (t) => {
  // A server without services: every method is UNIMPLEMENTED.
  const script = `const grpc = require('@grpc/grpc-js'); new grpc.Server().bindAsync('unix:' + process.argv[1],
    grpc.ServerCredentials.createInsecure(), () => {});`;
  const command = [process.execPath, '-e', script, '{socket}'];
  const peer = peerOf([`command = ${JSON.stringify(command)}`, 'variants = ["estargz"]', 'start_limit_s = 20']);
  const running = await startPeer(peer, { directory: join(fixture.bed.stateDir, 'silent') }, t.signal);
  assert.equal(await running.explainEnd(), undefined);
  await running.stop();
});

test('a peer that ends at once is an error row with its own words', { timeout }, async () => {
  const command = ['sh', '-c', 'echo no such option >&2; exit 2', '{socket}'];
  const peer = peerOf([`command = ${JSON.stringify(command)}`, 'variants = ["estargz"]']);
  const outcome = await measure(modeOf(peer, 'estargz'));
  assert.equal(
    outcome.ok ? '' : outcome.error,
    'the peer stand-in ended while starting: no such option; correct its command in the peers file',
  );
  await assertNothingLeft();
});

test('a program that is missing is one line before anything runs', { timeout }, async () => {
  const missing = (program: string) =>
    resolvePeer(peerOf([`command = [${JSON.stringify(program)}, "{socket}"]`, 'variants = ["estargz"]']));
  await assert.rejects(missing('no-such-program'), {
    code: 'missing-command',
    message: 'cannot run the peer stand-in: there is no program no-such-program',
    remedy: /PATH/,
  });
  await assert.rejects(missing('/nowhere/daemon'), {
    code: 'missing-command',
    message: /no program \/nowhere\/daemon$/,
  });
});
