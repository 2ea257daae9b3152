import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peerPackages } from './peer.ts';
import { parsePeers } from './peers-file.ts';

const peerNamed = (program: string) =>
  parsePeers(
    `[peer.mine]\ncommand = ["${program}", "{socket}"]\nvariants = ["legacy"]\npackages = { mkit = "make-it" }`,
    '/peers.toml',
    ['legacy'],
  )[0]!;

test('packages of a peer are needed only where its program is not there', async () => {
  assert.deepEqual(await peerPackages(peerNamed('no-such-program')), [
    { package: 'make-it', provides: { command: 'mkit' } },
  ]);
  assert.deepEqual(await peerPackages(peerNamed(process.execPath)), []);
  assert.deepEqual(await peerPackages(peerNamed('sh')), []);
});
