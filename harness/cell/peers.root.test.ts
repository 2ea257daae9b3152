import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startPeer } from '../daemon/daemon.ts';
import { type Peer, readPeerVersion, resolvePeer } from '../daemon/peer.ts';
import { parsePeers, readPeers } from '../daemon/peers-file.ts';
import { variantNames } from '../images/variants.ts';
import { peerModes } from '../run/peer-modes.ts';
import { withSecondRuns } from './modes/catalogue.ts';
import { cell, timeout, tiny, useCellBed } from './testing/cell-bed.ts';

const ownPeersPath = fileURLToPath(new URL('../../modes/peers.toml', import.meta.url));
const standInPath = join(import.meta.dirname, 'testing/peer.sh');
/** Kept between test runs. */
const cacheDir = '/var/lib/stargz-bench/peers';

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

test('the Go daemon, of the version of Debian, is built and measured in every variant, fresh and again', {
  timeout: 4 * timeout,
}, async () => {
  const signal = AbortSignal.timeout(4 * timeout);
  const described = (await readPeers(ownPeersPath, variantNames)).find(({ name }) => name === 'go-stargz')!;
  // Whatever is on PATH here, the one that is built is tested.
  const peer = await resolvePeer({ ...described, program: 'no-such-program' }, { cacheDir, onStep: () => {} }, signal);
  assert.match((await readPeerVersion(peer, signal)) ?? '', /v0\.12\.0/);
  for (const first of peerModes(peer)) {
    for (const mode of withSecondRuns(first).filter(({ daemonState }) => daemonState !== 'shared')) {
      const outcome = await measure(mode);
      assert.ok(outcome.ok, outcome.ok ? '' : `${mode.name}: ${outcome.error}`);
      assert.deepEqual([outcome.layers, outcome.lazyLayers], [2, 2], mode.name);
      assert.deepEqual([outcome.mount, outcome.mountReason], ['fuse', undefined]);
      assert.ok(outcome.daemonCpuMs! > 0 && outcome.daemonRssPeakKib! > 10_000);
      assert.deepEqual(outcome.warnings, []);
      await assertNothingLeft();
    }
  }
  const plain = await measure(modeOf({ ...peer, variants: ['legacy'] }, 'legacy'));
  assert.ok(!plain.ok && /not pulled lazily: layer 1 of 2: it was downloaded and unpacked/.test(plain.error));
  assert.equal(plain.lazyLayers, 0);
  await assertNothingLeft();
});

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
  assert.ok(!lazy.ok && /^not pulled lazily: layer 1 of 2: .*, layer 2 of 2: /.test(lazy.error));
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
  assert.equal(outcome.ok ? '' : outcome.error, 'the peer stand-in did not answer within 1 s: waiting for nothing');
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
  assert.equal(outcome.ok ? '' : outcome.error, 'the peer stand-in ended while starting: no such option');
  await assertNothingLeft();
});

test('a program that is missing, or cannot be built, is one line before anything runs', { timeout }, async (t) => {
  const place = { cacheDir: join(fixture.bed.stateDir, 'peers'), onStep: () => {} };
  const missing = (program: string) =>
    resolvePeer(
      peerOf([`command = [${JSON.stringify(program)}, "{socket}"]`, 'variants = ["estargz"]']),
      place,
      t.signal,
    );
  await assert.rejects(missing('no-such-program'), {
    code: 'missing-command',
    message: 'cannot run the peer stand-in: there is no program no-such-program',
    remedy: /PATH/,
  });
  await assert.rejects(missing('/nowhere/daemon'), {
    code: 'missing-command',
    message: /no program \/nowhere\/daemon$/,
  });
  const source = await mkdtemp(join(tmpdir(), 'peer-source-'));
  t.after(() => rm(source, { recursive: true, force: true }));
  await writeFile(join(source, 'main'), '#!/bin/sh\n');
  const build = (script: string) =>
    resolvePeer(
      {
        ...peerOf(['command = ["no-such-program", "{socket}"]', 'variants = ["estargz"]']),
        build: { directory: source, command: ['sh', '-c', script, '{program}'] },
      },
      place,
      t.signal,
    );
  await assert.rejects(build('echo syntax error >&2; exit 1'), {
    message: 'cannot build the peer stand-in: syntax error',
  });
  await assert.rejects(build('exit 0'), { message: /it left no program$/ });
  const built = await build('install -m 755 main $0');
  assert.equal((await build('install -m 755 main $0')).program, built.program);
  await writeFile(join(source, 'main'), '#!/bin/sh\n# changed\n');
  assert.notEqual((await build('install -m 755 main $0')).program, built.program);
});
