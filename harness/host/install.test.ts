import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensurePackages, explainApt, findMissing } from './install.ts';

const reporter = { step: () => {}, note: () => {}, warn: () => {} };

test('a program that was installed by any means is not missing', async () => {
  const missing = await findMissing([
    { package: 'dash', provides: { command: 'sh' } },
    { package: 'base-files', provides: { file: '/etc/os-release' } },
    { package: 'none-a', provides: { command: 'no-such-command-here' } },
    { package: 'none-b', provides: { file: '/no/such/file' } },
  ]);
  assert.deepEqual(
    missing.map((need) => need.package),
    ['none-a', 'none-b'],
  );
});

test('apt is not called when nothing is missing', async (t) => {
  const installed = await ensurePackages([{ package: 'dash', provides: { command: 'sh' } }], reporter, t.signal);
  assert.deepEqual(installed, []);
});

test('a failure of apt becomes one line with a remedy', () => {
  const cases: [string, string, RegExp][] = [
    ['E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)', 'busy', /wait/],
    ['E: Unable to locate package buildah', 'package-install', /universe/],
    ['Reading...\nErr:1 http://m x\n  Temporary failure resolving m\nE: Failed to fetch', 'network', /network/],
    ["E: You don't have enough free space in /var/cache/apt/archives/.", 'disk-full', /free/],
    ['dpkg: error processing package x', 'package-install', /by hand/],
  ];
  for (const [output, code, remedy] of cases) {
    const error = explainApt(['buildah'], output);
    assert.equal(error.code, code);
    assert.match(error.remedy!, remedy);
    assert.doesNotMatch(error.message, /\n/);
  }
});

test('credentials of a mirror are not in the message', () => {
  const { message } = explainApt(['x'], 'E: Failed to fetch https://me:secret@m.example/debian/x.deb  404');
  assert.match(message, /m\.example/);
  assert.doesNotMatch(message, /secret/);
});
