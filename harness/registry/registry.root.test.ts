import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findProcessesNaming } from '../host/processes.ts';
import { startRegistry } from './registry.ts';

test('two registries are independent, and what is pushed outlives the process', {
  timeout: 60_000,
}, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'bench-registry-'));
  const dataDir = join(dir, 'a');
  const [first, second] = [
    await startRegistry({ dataDir }, t.signal),
    await startRegistry({ dataDir: join(dir, 'b') }, t.signal),
  ];
  t.after(async () => {
    await Promise.all([first.close(), second.close()]);
    await rm(dir, { recursive: true });
  });
  assert.notEqual(first.address, second.address);
  assert.match(first.address, /^127\.0\.0\.1:\d+$/);
  const upload = await fetch(`http://${first.address}/v2/x/blobs/uploads/`, { method: 'POST' });
  const location = new URL(upload.headers.get('location')!, `http://${first.address}`);
  const digest = 'sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae';
  location.searchParams.set('digest', digest);
  assert.equal((await fetch(location, { method: 'PUT', body: 'foo' })).status, 201);
  await first.close();
  assert.deepEqual(await findProcessesNaming(dataDir), []);

  const again = await startRegistry({ dataDir }, t.signal);
  t.after(() => again.close());
  const blob = await fetch(`http://${again.address}/v2/x/blobs/${digest}`);
  assert.equal(await blob.text(), 'foo');
});

test('a registry that a killed run left behind is killed by the next one', { timeout: 60_000 }, async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'bench-registry-'));
  const left = await startRegistry({ dataDir }, t.signal);
  const next = await startRegistry({ dataDir }, t.signal);
  t.after(async () => {
    await Promise.all([left.close(), next.close()]);
    await rm(dataDir, { recursive: true });
  });
  assert.deepEqual(await findProcessesNaming(dataDir), [next.pid]);
  await assert.rejects(fetch(`http://${left.address}/v2/`));
});
