import assert from 'node:assert/strict';
import { test } from 'node:test';
import { privateHeader } from '../../testkit/registry-simulator/journal.ts';
import type { SimulatedAuth } from '../../testkit/registry-simulator/token-service.ts';
import type { Credential } from './keychain.ts';
import { collect, fixedKeychain, limit } from './testing/fixture.ts';
import { imageOf, layer, layerDigest, openClient, startSimulator } from './testing/simulated.ts';

const signal = new AbortController().signal;
const alice: Credential = { kind: 'basic', username: 'alice', password: 'secret' };
const auth: SimulatedAuth = { kind: 'token', users: { alice: 'secret' }, lifetimeMs: 60_000 };

test('a layer that no registry has is fetched from its URLs without credentials', limit, async (t) => {
  const registry = await startSimulator(t, { content: {}, auth });
  const web = await startSimulator(t);
  const hosts = Object.fromEntries(
    [registry.host, web.host].map((host) => [host, { headers: { [privateHeader]: 'for the registry' } }]),
  );
  const client = openClient(t, { keychains: [fixedKeychain(alice)], hosts });
  const urls = ['ftp://127.0.0.1/x', 'http://127.0.0.1:1/x', `http://${web.host}/v2/any/blobs/${layerDigest}`];
  const reference = imageOf(registry);

  assert.deepEqual(await collect(client.fetchBlob(reference, layerDigest, signal, urls)), layer);
  const source = client.blob(reference, layerDigest, urls);
  assert.deepEqual((await source.fetchSuffix(100, signal)).bytes, layer.subarray(-100));
  assert.deepEqual(await collect(source.fetchRange(3, 900, signal)), layer.subarray(3, 900));
  const told = web.journal.entries.map(({ headers }) => headers).join('\n');
  assert.doesNotMatch(told, /authorization|for the registry/i);
});

test('a URL that serves other bytes than the layer is refused', limit, async (t) => {
  const registry = await startSimulator(t, { content: {} });
  const web = await startSimulator(t);
  const other = registry.host;
  const urls = [`http://${web.host}/v2/team/image/manifests/1`];
  const fetched = collect(openClient(t).fetchBlob(imageOf({ host: other }), layerDigest, signal, urls));
  await assert.rejects(fetched, { code: 'digest-mismatch', host: `${web.host}/v2/team/image/manifests/1` });
});
