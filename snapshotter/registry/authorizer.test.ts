import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '../../testkit/until.ts';
import { digestOf } from './digest.ts';
import type { Credential, Keychain, KeychainFailure } from './keychain.ts';
import {
  collect,
  fixedKeychain,
  inPieces,
  limit,
  type StoredBlob,
  startRegistryWithBlob,
  withSimulator,
} from './testing/fixture.ts';
import type { SimulatedAuth } from '../../testkit/registry-simulator/token-service.ts';

const signal = new AbortController().signal;
const users = { alice: 'correct horse' };
const alice: Credential = { kind: 'basic', username: 'alice', password: 'correct horse' };
const mallory: Credential = { kind: 'basic', username: 'mallory', password: 'wrong battery' };
const tokenAuth: SimulatedAuth = { kind: 'token', users, identityTokens: ['refresh-me'], lifetimeMs: 60_000 };

describe('a client of a registry that requires authorization', () => {
  let stored: StoredBlob;
  before(async () => {
    stored = await startRegistryWithBlob(100_000);
  });
  after(async () => {
    await stored?.registry.close();
  });

  it('shares one token among forty layers that start at once', limit, async () => {
    const keychain = fixedKeychain(alice);
    await withSimulator(
      stored,
      { auth: tokenAuth },
      { keychains: [keychain] },
      async ({ client, reference, simulator }) => {
        const layers = Array.from({ length: 40 }, () => client.blob(reference, stored.digest));
        await Promise.all(layers.map((layer) => layer.fetchSuffix(100, signal)));
        assert.equal(simulator.issuedTokens(), 1);
        assert.equal(keychain.lookups, 1);
        assert.ok(simulator.counts.connections <= 32, `${simulator.counts.connections} connections`);
        const refusals = simulator.counts.unauthorized;
        await layers[0]!.fetchSuffix(50, signal);
        assert.equal(simulator.counts.unauthorized, refusals, 'the token is sent unasked');
      },
    );
  });

  it('sends a token for another repository without waiting for a 401', limit, async () => {
    await withSimulator(stored, { auth: tokenAuth }, { keychains: [fixedKeychain(alice)] }, async (session) => {
      const { client, reference, simulator } = session;
      await client.blob(reference, stored.digest).fetchSuffix(10, signal);
      const refusals = simulator.counts.unauthorized;
      const other = client.fetchManifest({ ...reference, repository: 'team/other' }, signal);
      await assert.rejects(other, { code: 'not-found' });
      assert.equal(simulator.counts.unauthorized, refusals);
      assert.equal(simulator.issuedTokens(), 2);
    });
  });

  it('gets one new token after a 401 for all concurrent requests', limit, async () => {
    await withSimulator(stored, { auth: tokenAuth }, { keychains: [fixedKeychain(alice)] }, async (session) => {
      const { client, reference, simulator } = session;
      const source = client.blob(reference, stored.digest);
      await source.fetchSuffix(10, signal);
      simulator.revokeTokens();
      await Promise.all(Array.from({ length: 10 }, () => collect(source.fetchRange(0, 10, signal))));
      assert.equal(simulator.issuedTokens(), 2);
    });
  });

  it('renews a token in the background before it expires', limit, async () => {
    let nowMs = Date.now();
    const clock = { now: () => nowMs, sleep: async () => {} };
    const options = { keychains: [fixedKeychain(alice)], clock };
    await withSimulator(stored, { auth: tokenAuth }, options, async ({ client, reference, simulator }) => {
      const source = client.blob(reference, stored.digest);
      await source.fetchSuffix(10, signal);
      nowMs += 40_000;
      await source.fetchSuffix(10, signal);
      assert.equal(simulator.issuedTokens(), 1);
      nowMs += 10_000;
      await source.fetchSuffix(10, signal);
      await until('the second token', () => simulator.issuedTokens() >= 2, { limitMs: 10_000 });
      nowMs += 15_000;
      await source.fetchSuffix(10, signal);
      assert.equal(simulator.issuedTokens(), 2, 'the renewed token outlives the first');
      assert.equal(simulator.counts.unauthorized, 1);
    });
  });

  it('keeps reading while tokens expire', limit, async () => {
    const auth = { ...tokenAuth, lifetimeMs: 250 };
    await withSimulator(
      stored,
      { auth },
      { keychains: [fixedKeychain(alice)] },
      async ({ client, reference, simulator }) => {
        const source = client.blob(reference, stored.digest);
        for (let start = 0; start < 100_000; start += 10_000) {
          const bytes = await collect(source.fetchRange(start, start + 10_000, signal));
          assert.ok(bytes.equals(stored.content.subarray(start, start + 10_000)));
          await new Promise((resolve) => setTimeout(resolve, 60));
        }
        assert.ok(simulator.issuedTokens() > 1);
      },
    );
  });

  it('exchanges an identity token by OAuth2', limit, async () => {
    const identity: Credential = { kind: 'identity-token', token: 'refresh-me' };
    await withSimulator(stored, { auth: tokenAuth }, { keychains: [fixedKeychain(identity)] }, async (session) => {
      await session.client.blob(session.reference, stored.digest).fetchSuffix(10, signal);
      assert.equal(session.simulator.issuedTokens(), 1);
      assert.ok(session.reports.some(({ kind, method }) => kind === 'token' && method === 'POST'));
    });
  });

  it('pulls anonymously where that is allowed', limit, async () => {
    const auth = { ...tokenAuth, anonymousPull: true };
    await withSimulator(stored, { auth }, {}, async ({ client, reference }) => {
      await client.blob(reference, stored.digest).fetchSuffix(10, signal);
    });
  });

  it('pulls a public image despite stale credentials', limit, async () => {
    const auth = { ...tokenAuth, anonymousPull: true };
    await withSimulator(stored, { auth }, { keychains: [fixedKeychain(mallory)] }, async ({ client, reference }) => {
      await client.blob(reference, stored.digest).fetchSuffix(10, signal);
    });
  });

  it('logs in with Basic where there is no token service', limit, async () => {
    const auth: SimulatedAuth = { kind: 'basic', users };
    const keychain = fixedKeychain(mallory, alice);
    await withSimulator(stored, { auth }, { keychains: [keychain] }, async ({ client, reference, simulator }) => {
      await client.blob(reference, stored.digest).fetchSuffix(10, signal);
      assert.equal(simulator.counts.unauthorized, 2);
      await client.blob(reference, stored.digest).fetchSuffix(10, signal);
      assert.equal(simulator.counts.unauthorized, 2);
    });
  });

  it('pushes with a token for pull,push', limit, async () => {
    const content = Buffer.from('new content');
    await withSimulator(stored, { auth: tokenAuth }, { keychains: [fixedKeychain(alice)] }, async (session) => {
      const { client } = session;
      const reference = { ...session.reference, repository: 'team/pushed' };
      const blob = { digest: digestOf(content), sizeBytes: content.length, open: () => inPieces(content) };
      await client.pushBlob(reference, blob, signal);
      assert.ok(await client.hasBlob(reference, blob.digest, signal));
      assert.ok(await client.mountBlob(reference, stored.digest, stored.repository, signal));
    });
  });

  it('asks the next keychain when one fails, and reports the one that failed', limit, async () => {
    const broken: Keychain = { name: 'broken', lookup: () => Promise.reject(new Error('disk on fire')) };
    const failures: KeychainFailure[] = [];
    const options = {
      keychains: [broken, fixedKeychain(), fixedKeychain(mallory), fixedKeychain(alice)],
      onKeychainFailure: (failure: KeychainFailure) => void failures.push(failure),
    };
    await withSimulator(stored, { auth: tokenAuth }, options, async ({ client, reference, simulator }) => {
      await client.blob(reference, stored.digest).fetchSuffix(10, signal);
      assert.deepEqual(
        failures.map(({ keychain, host }) => ({ keychain, host })),
        [{ keychain: 'broken', host: simulator.host }],
      );
    });
  });

  it('reports unauthorized without the password or the response of the token service', limit, async () => {
    for (const auth of [tokenAuth, { kind: 'basic', users } as const]) {
      await withSimulator(stored, { auth }, { keychains: [fixedKeychain(mallory)] }, async ({ client, reference }) => {
        await assert.rejects(client.blob(reference, stored.digest).fetchSuffix(10, signal), (error: Error) => {
          assert.equal((error as Error & { code: string }).code, 'unauthorized');
          assert.match(error.message, /check the credentials/);
          assert.doesNotMatch(`${error.stack} ${JSON.stringify(error)}`, /battery|hunter2|bWFsbG9ye/);
          return true;
        });
      });
    }
  });

  it('lets one caller abort without failing the others that wait for the token', limit, async () => {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow: Keychain = {
      name: 'slow',
      async lookup() {
        await gate;
        return [alice];
      },
    };
    await withSimulator(stored, { auth: tokenAuth }, { keychains: [slow] }, async ({ client, reference }) => {
      const impatient = new AbortController();
      const first = client.blob(reference, stored.digest).fetchSuffix(10, impatient.signal);
      const second = client.blob(reference, stored.digest).fetchSuffix(10, signal);
      const reason = new Error('cannot wait');
      setTimeout(() => impatient.abort(reason), 50);
      await assert.rejects(first, reason);
      release();
      assert.equal((await second).bytes.length, 10);
    });
  });

  it('handles the refusal of a token after every caller has aborted', limit, async () => {
    let nowMs = Date.now();
    let credential = alice;
    const keychain: Keychain = { name: 'changing', lookup: async () => [credential] };
    const options = { keychains: [keychain], clock: { now: () => nowMs, sleep: async () => {} } };
    await withSimulator(stored, { auth: tokenAuth }, options, async ({ client, reference, reports }) => {
      const source = client.blob(reference, stored.digest);
      await source.fetchSuffix(10, signal);
      nowMs += 3_600_000;
      credential = mallory;
      await assert.rejects(source.fetchSuffix(10, AbortSignal.abort(new Error('gone'))), /gone/);
      // An unhandled rejection would fail the test.
      const refused = () => reports.filter(({ kind, status }) => kind === 'token' && status === 401).length;
      await until('two refusals', () => refused() >= 2, { limitMs: 10_000 });
      await new Promise((resolve) => setTimeout(resolve, 5));
    });
  });
});
