import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { firstRuns, modeGroups, modes, withSecondRuns } from '../cell/modes/catalogue.ts';
import { readPeers } from '../daemon/peers-file.ts';
import { variantNames } from '../images/variants.ts';
import { selectModes } from './known-modes.ts';
import { describeMode } from './mode.ts';
import { peerModes } from './peer-modes.ts';

const limit = { timeout: 30_000 };
const peers = await readPeers(fileURLToPath(new URL('../../modes/peers.toml', import.meta.url)), variantNames);
const known = {
  defaults: modes,
  all: [...firstRuns, ...peers.flatMap(peerModes)].flatMap(withSecondRuns),
  groups: modeGroups,
};
const namesOf = (asked: readonly string[] | undefined) => selectModes(known, asked).map(({ name }) => name);

test('by default the comparison is legacy, stargz, estargz', limit, () => {
  assert.deepEqual(namesOf(undefined), ['legacy', 'stargz', 'estargz']);
});

test('modes are selected in the order of tables, peers last, and a group stands for its members', limit, () => {
  const asked = ['go-stargz:estargz+again', 'go-stargz:stargz', 'docker', 'estargz'];
  assert.deepEqual(namesOf(asked), ['estargz', 'docker', 'go-stargz:stargz', 'go-stargz:estargz+again']);
  assert.deepEqual(namesOf(['warm']), ['legacy+again', 'legacy+shared', 'estargz+again', 'estargz+shared']);
});

test('an unknown mode is refused with the names of the others, second runs in short', limit, () => {
  assert.throws(() => namesOf(['estargz', 'turbo']), {
    code: 'usage',
    message:
      /^unknown mode 'turbo'; modes: legacy, stargz, estargz, .*overlaybd:legacy, warm; each also with \+again or \+shared$/,
  });
});

test('every mode has a name of its own', limit, () => {
  assert.equal(new Set(known.all.map(({ name }) => name)).size, known.all.length);
});

test('the Go daemon has the settings of our own mode for the same variant, but for how ours mounts', limit, () => {
  for (const own of firstRuns.filter(({ snapshotter, name }) => snapshotter === 'stargz' && name !== 'estargz-fuse')) {
    const [peer] = selectModes(known, [`go-stargz:${own.variant}`]);
    assert.deepEqual(peer!.daemonConfig, own.daemonConfig, own.name);
  }
});

test('environment.json says of each mode what decides its result', limit, () => {
  const [mode] = selectModes(known, ['go-stargz:stargz+again']);
  const described = JSON.parse(JSON.stringify(describeMode(mode!)));
  assert.equal(described.daemonState, 'again');
  assert.deepEqual(described.config, { no_background_fetch: true, noprefetch: true, disable_verification: true });
  assert.equal(described.peer.command[0], '{program}');
  assert.equal(JSON.parse(JSON.stringify(describeMode(modes[0]!))).config, null);
});
