import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { describeMachine, noiseWarnings } from './machine.ts';

test('the description has kernel, disk and versions, and survives JSON', { timeout: 20_000 }, async () => {
  const machine = await describeMachine(tmpdir());
  assert.deepEqual(JSON.parse(JSON.stringify(machine)), machine);
  assert.ok(machine.disk.sizeBytes > 0);
  assert.ok(machine.disk.fileSystem !== '');
  assert.equal(machine.versions.node, process.version);
  assert.ok('containerd' in machine.versions);
});

test('running Docker containers and a high load give a warning, an idle machine none', async () => {
  const machine = { ...(await describeMachine(tmpdir())), docker: null, loadAverage: '0.00 0.00 0.00 1/99 7' };
  assert.deepEqual(noiseWarnings(machine), []);
  const busy = { ...machine, docker: { version: '28', runningContainers: 2 }, loadAverage: '999.0 1 1 1/9 7' };
  assert.equal(noiseWarnings(busy).length, 2);
});
