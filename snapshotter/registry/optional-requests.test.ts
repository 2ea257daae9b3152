import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faults } from '../../testkit/registry-simulator/faults.ts';
import type { MemoryOrigin } from '../../testkit/registry-simulator/memory-origin.ts';
import { digestOf } from './digest.ts';
import { parseReference } from './reference.ts';
import { fixedKeychain, inPieces, limit } from './testing/fixture.ts';
import { layer, layerDigest, openClient, startSimulator } from './testing/simulated.ts';

const signal = new AbortController().signal;
const hosts = (host: string) => ({ [host]: { requestTimeoutMs: 300 } });

for (const fault of faults.filter(({ name }) => name.startsWith('look-'))) {
  test(`with ${fault.name} a registry counts as not having the blob, and is pushed to`, limit, async (t) => {
    const simulator = await startSimulator(t, { faults: [fault] });
    const client = openClient(t, { hosts: hosts(simulator.host) });
    const reference = parseReference(`${simulator.host}/team/target:1`);
    assert.equal(await client.hasBlob(reference, layerDigest, signal), false);
    const bytes = Buffer.from(`pushed past ${fault.name}`);
    const blob = { digest: digestOf(bytes), sizeBytes: bytes.length, open: () => inPieces(bytes) };
    await client.pushBlob(reference, blob, signal);
    assert.deepEqual((simulator.origin as MemoryOrigin).blobs.get(blob.digest), bytes);
    assert.ok(simulator.counts.requests <= 4, `${simulator.counts.requests} requests`);
  });
}

for (const fault of faults.filter(({ name }) => name.startsWith('mount-'))) {
  test(`with ${fault.name} a blob is not mounted, which is not a failure`, limit, async (t) => {
    const simulator = await startSimulator(t, { faults: [fault] });
    const reference = parseReference(`${simulator.host}/team/target:1`);
    assert.equal(await openClient(t).mountBlob(reference, layerDigest, 'team/image', signal), false);
  });
}

test('a push succeeds where pull,push is granted on a new repository, but pull alone is not', limit, async (t) => {
  const simulator = await startSimulator(t, {
    auth: { kind: 'token', users: { alice: 'secret' }, lifetimeMs: 60_000 },
    faults: faults.filter(({ name }) => name === 'token-not-for-pull-alone'),
  });
  const client = openClient(t, {
    keychains: [fixedKeychain({ kind: 'basic', username: 'alice', password: 'secret' })],
  });
  const reference = parseReference(`${simulator.host}/team/target:1`);
  const absent = digestOf('not there');
  assert.equal(await client.hasBlob(reference, absent, signal), false);
  assert.equal(await client.hasBlob(reference, layerDigest, signal), true);
  const blob = { digest: layerDigest, sizeBytes: layer.length, open: () => inPieces(layer) };
  await client.pushBlob(reference, blob, signal);
});

test('an aborted look rejects instead of returning false', limit, async (t) => {
  const simulator = await startSimulator(t, { faults: faults.filter(({ name }) => name === 'look-hangs') });
  const aborter = new AbortController();
  const reason = new Error('enough');
  const looking = openClient(t).hasBlob(parseReference(`${simulator.host}/team/target:1`), layerDigest, aborter.signal);
  setTimeout(() => aborter.abort(reason), 50);
  await assert.rejects(looking, reason);
});
