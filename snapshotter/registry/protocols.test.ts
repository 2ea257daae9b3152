import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, limit } from './testing/fixture.ts';
import { imageOf, layer, layerDigest, manifest, openClient, startSimulator } from './testing/simulated.ts';

const signal = new AbortController().signal;

test('a registry that offers HTTP/2 beside HTTP/1.1 is read', limit, async (t) => {
  const simulator = await startSimulator(t, { tls: true, protocols: 'http2-offered', cdnLifetimeMs: 60_000 });
  const client = openClient(t, { hosts: { [simulator.host]: { plainHttp: false, caPem: simulator.caPem! } } });
  const reference = imageOf(simulator);
  assert.deepEqual((await client.fetchManifest(reference, signal)).bytes, manifest);
  assert.deepEqual(
    await collect(client.blob(reference, layerDigest).fetchRange(5, 200_000, signal)),
    layer.subarray(5, 200_000),
  );
});

test('a registry that speaks nothing but HTTP/2 is given up with a clear error', limit, async (t) => {
  const simulator = await startSimulator(t, { tls: true, protocols: 'http2-only' });
  const client = openClient(t, { hosts: { [simulator.host]: { plainHttp: false, caPem: simulator.caPem! } } });
  await assert.rejects(client.fetchManifest(imageOf(simulator), signal), {
    name: 'RegistryError',
    code: 'unreachable',
    host: simulator.host,
  });
});
