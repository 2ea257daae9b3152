import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fault } from '../../testkit/registry-simulator/faults.ts';
import type { SimulatedAuth } from '../../testkit/registry-simulator/token-service.ts';
import type { Credential } from './keychain.ts';
import { isSameParty } from './redirect.ts';
import { fixedKeychain, inPieces, limit } from './testing/fixture.ts';
import { imageOf, layer, layerDigest, manifest, openClient, startSimulator } from './testing/simulated.ts';

const signal = new AbortController().signal;
const password = 'correct horse battery';
const alice: Credential = { kind: 'basic', username: 'alice', password };
const encoded = Buffer.from(`alice:${password}`).toString('base64');
const auth: SimulatedAuth = {
  kind: 'token',
  users: { alice: password, guest: 'guest', lodger: 'lodger' },
  powerless: ['guest', 'lodger'],
  identityTokens: ['refresh-me'],
  lifetimeMs: 60_000,
};

for (const name of ['token-empty-beside-access-token', 'token-null-beside-access-token'] as const) {
  test(`with ${name} the other field's token is used`, limit, async (t) => {
    const simulator = await startSimulator(t, { auth, faults: [fault(name)] });
    const client = openClient(t, { keychains: [fixedKeychain(alice)] });
    assert.deepEqual((await client.fetchManifest(imageOf(simulator), signal)).bytes, manifest);
  });
}

test('a response with an empty token only is malformed', limit, async (t) => {
  const simulator = await startSimulator(t, { auth, faults: [fault('token-empty')] });
  const client = openClient(t, { keychains: [fixedKeychain(alice)] });
  await assert.rejects(client.fetchManifest(imageOf(simulator), signal), { code: 'protocol' });
});

test('the password follows a redirect of the realm within its origin', limit, async (t) => {
  const simulator = await startSimulator(t, {
    auth,
    hasTokenHost: true,
    faults: [fault('token-redirect-same-host')],
  });
  const client = openClient(t, { keychains: [fixedKeychain(alice)] });
  assert.deepEqual((await client.fetchManifest(imageOf(simulator), signal)).bytes, manifest);
  assert.deepEqual(simulator.journal.sitesTold(encoded), ['token']);
});

test('a redirect of the realm to another host is followed without the password', limit, async (t) => {
  const simulator = await startSimulator(t, {
    auth: { ...auth, anonymousPull: true },
    hasTokenHost: true,
    faults: [fault('token-redirect-elsewhere')],
  });
  const client = openClient(t, { keychains: [fixedKeychain(alice)] });
  await assert.rejects(client.fetchManifest(imageOf(simulator), signal), { code: 'unauthorized' });
  assert.ok(
    simulator.journal.entries.some(({ site }) => site === 'elsewhere'),
    'the redirect was not followed',
  );
  assert.deepEqual(simulator.journal.sitesTold(encoded), ['token']);
});

test('an identity token is posted again within its origin, and to no other host', limit, async (t) => {
  const keychains = [fixedKeychain({ kind: 'identity-token', token: 'refresh-me' })];
  const within = await startSimulator(t, { auth, faults: [fault('token-redirect-same-host')] });
  assert.ok(await openClient(t, { keychains }).fetchManifest(imageOf(within), signal));
  const away = await startSimulator(t, { auth, hasTokenHost: true, faults: [fault('token-redirect-elsewhere')] });
  await assert.rejects(openClient(t, { keychains }).fetchManifest(imageOf(away), signal), {
    code: 'unauthorized',
    message: /redirects to 127\.0\.0\.4:\d+, where the identity token is not sent/,
  });
  assert.deepEqual(away.journal.sitesTold('refresh-me'), ['token']);
});

test('endless redirects of the realm are given up', limit, async (t) => {
  const simulator = await startSimulator(t, { auth, faults: [fault('token-redirect-loop')] });
  const client = openClient(t, { keychains: [fixedKeychain(alice)] });
  await assert.rejects(client.fetchManifest(imageOf(simulator), signal), { message: /more than 5 redirects/ });
  assert.ok(simulator.counts.requests < 30, `${simulator.counts.requests} requests`);
});

test('credentials follow a redirect to the same origin or to its TLS port only', () => {
  const follow = (from: string, to: string): boolean => isSameParty(new URL(from), new URL(to));
  assert.equal(follow('https://a.test/token', 'https://a.test/v2/token'), true);
  assert.equal(follow('http://a.test/token', 'https://a.test/token'), true);
  assert.equal(follow('https://a.test/token', 'http://a.test/token'), false);
  assert.equal(follow('https://a.test/token', 'https://b.a.test/token'), false);
  assert.equal(follow('http://a.test:5000/token', 'https://a.test:5001/token'), false);
  assert.equal(follow('https://a.test/token', 'https://a.test:444/token'), false);
});

for (const insufficientStatus of [401, 403] as const) {
  test(
    `the next credential is tried when the registry answers a token with ${insufficientStatus}`,
    limit,
    async (t) => {
      const simulator = await startSimulator(t, { auth: { ...auth, insufficientStatus } });
      const guests = ['guest', 'lodger'].map((name): Credential => ({ kind: 'basic', username: name, password: name }));
      const client = openClient(t, { keychains: [fixedKeychain(...guests, alice)] });
      const reference = imageOf(simulator);
      assert.deepEqual((await client.fetchManifest(reference, signal)).bytes, manifest);
      const tokens = simulator.issuedTokens();
      const suffix = await client.blob(reference, layerDigest).fetchSuffix(100, signal);
      assert.deepEqual(suffix.bytes, layer.subarray(-100));
      assert.equal(simulator.issuedTokens(), tokens, 'the credential that served is remembered');
      const blob = { digest: layerDigest, sizeBytes: layer.length, open: () => inPieces(layer) };
      await client.pushBlob(reference, blob, signal);
    },
  );

  test(`the client gives up soon when every token is answered with ${insufficientStatus}`, limit, async (t) => {
    const simulator = await startSimulator(t, { auth: { ...auth, insufficientStatus } });
    const guest: Credential = { kind: 'basic', username: 'guest', password: 'guest' };
    const client = openClient(t, { keychains: [fixedKeychain(guest)] });
    const refused = { code: 'unauthorized', status: insufficientStatus };
    await assert.rejects(client.fetchManifest(imageOf(simulator), signal), refused);
    assert.ok(simulator.counts.requests <= 8, `${simulator.counts.requests} requests`);
  });
}

test('the next password is tried when Basic refuses one', limit, async (t) => {
  const simulator = await startSimulator(t, { auth: { kind: 'basic', users: { alice: password } } });
  const wrong: Credential = { kind: 'basic', username: 'alice', password: 'old' };
  const client = openClient(t, { keychains: [fixedKeychain(wrong, alice)] });
  assert.deepEqual((await client.fetchManifest(imageOf(simulator), signal)).bytes, manifest);
});
