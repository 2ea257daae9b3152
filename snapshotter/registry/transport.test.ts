import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { RegistryClient } from './client.ts';
import { digestOf } from './digest.ts';
import { mediaTypes } from './manifest.ts';
import { parseReference } from './reference.ts';
import {
  collect,
  inPieces,
  limit,
  recordingClock,
  type StoredBlob,
  startRegistryWithBlob,
  withSimulator,
} from './testing/fixture.ts';

const signal = new AbortController().signal;

describe('requests over a network that fails', () => {
  let stored: StoredBlob;
  before(async () => {
    stored = await startRegistryWithBlob(1_000);
  });
  after(async () => {
    await stored?.registry.close();
  });

  it('honours Retry-After, and counts its retries', limit, async () => {
    const clock = recordingClock();
    const weather = { tooManyRequests: 1, retryAfterSec: 7, maxInARow: 2 };
    await withSimulator(stored, { weather }, { clock }, async ({ client, reference, reports }) => {
      await client.blob(reference, stored.digest).fetchSuffix(10, signal);
      assert.deepEqual(clock.sleepsMs, [7_000, 7_000]);
      assert.deepEqual(
        reports.map(({ attempt, status }) => [attempt, status]),
        [
          [1, 429],
          [2, 429],
          [3, 206],
        ],
      );
    });
  });

  it('does not wait for a Retry-After beyond maxWaitMs', limit, async () => {
    const clock = recordingClock();
    const weather = { tooManyRequests: 1, retryAfterSec: 3_600, maxInARow: 100 };
    await withSimulator(stored, { weather }, { clock, retry: { maxWaitMs: 60_000 } }, async ({ client, reference }) => {
      await assert.rejects(client.blob(reference, stored.digest).fetchSuffix(10, signal), {
        code: 'rate-limited',
        status: 429,
        retryAfterMs: 3_600_000,
      });
      assert.deepEqual(clock.sleepsMs, []);
    });
  });

  it('backs off exponentially with jitter, and stops after max_retries', limit, async () => {
    const clock = recordingClock();
    const weather = { serverError: 1, maxInARow: 100 };
    const options = { clock, random: () => 0.5, retry: { maxRetries: 4, minWaitMs: 100, maxWaitMs: 300 } };
    await withSimulator(stored, { weather }, options, async ({ client, reference, simulator }) => {
      const failing = client.blob(reference, stored.digest).fetchSuffix(10, signal);
      await assert.rejects(failing, { code: 'server', status: 503 });
      assert.deepEqual(clock.sleepsMs, [75, 150, 225, 225]);
      assert.equal(simulator.counts.serverErrors, 5);
    });
  });

  it('retries after a connection reset', limit, async () => {
    const weather = { reset: 1, maxInARow: 2 };
    await withSimulator(stored, { weather }, {}, async ({ client, reference, simulator, reports }) => {
      await client.fetchManifest(reference, signal).catch(() => {});
      assert.equal(simulator.counts.resets, 2);
      assert.deepEqual(
        reports.map(({ status, error }) => [status, error]),
        [
          [undefined, 'unreachable'],
          [undefined, 'unreachable'],
          [404, undefined],
        ],
      );
    });
  });

  it('requests a manifest again whose body broke off', limit, async () => {
    const config = Buffer.from('{}');
    const descriptor = { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length };
    const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, config: descriptor, layers: [] }));
    await withSimulator(stored, {}, { clock: recordingClock() }, async ({ client, reference, simulator }) => {
      const upload = { digest: descriptor.digest, sizeBytes: config.length, open: () => inPieces(config) };
      await client.pushBlob(reference, upload, signal);
      await client.pushManifest(reference, mediaTypes.ociManifest, manifest, signal);
      simulator.behave({ weather: { cut: 1, maxInARow: 2 } });
      assert.deepEqual((await client.fetchManifest(reference, signal)).bytes, manifest);
      assert.equal(simulator.counts.cuts, 2);
    });
  });

  it('reports a refused connection in one line', limit, async () => {
    const client = new RegistryClient({ retry: { maxRetries: 1, minWaitMs: 1 } });
    try {
      const failing = client.fetchManifest(parseReference('127.0.0.1:1/a/b:c'), signal);
      await assert.rejects(failing, (error: Error) => {
        assert.match(error.message, /^fetch manifest 127\.0\.0\.1:1\/a\/b:c .*ECONNREFUSED.*; check the name/);
        assert.doesNotMatch(error.message, /\n/);
        return (error as Error & { code: string }).code === 'unreachable';
      });
    } finally {
      await client.close();
    }
  });

  it('times out on a server that accepts and never responds', limit, async () => {
    const silent: Server = createServer((socket) => void socket.on('error', () => {}));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const host = `127.0.0.1:${port}`;
    const client = new RegistryClient({ hosts: { [host]: { requestTimeoutMs: 300 } }, retry: { maxRetries: 0 } });
    try {
      await assert.rejects(client.fetchManifest(parseReference(`${host}/a/b`), signal), { code: 'timeout' });
    } finally {
      await client.close();
      silent.close();
    }
  });

  it('reuses one connection for sequential requests', limit, async () => {
    await withSimulator(stored, {}, {}, async ({ client, reference, simulator }) => {
      const source = client.blob(reference, stored.digest);
      for (let start = 0; start < 20; start++) await collect(source.fetchRange(start, start + 5, signal));
      await client.fetchManifest(reference, signal).catch(() => {});
      assert.equal(simulator.counts.connections, 1);
    });
  });

  it('respects the connection limit', limit, async () => {
    await withSimulator(stored, {}, { maxConnectionsPerHost: 3 }, async ({ client, reference, simulator }) => {
      const source = client.blob(reference, stored.digest);
      await Promise.all(Array.from({ length: 30 }, () => collect(source.fetchRange(0, 5, signal))));
      assert.ok(simulator.counts.connections <= 3, `${simulator.counts.connections} connections`);
    });
  });

  it('leaves nothing running after close', limit, async () => {
    const client = new RegistryClient();
    const reference = parseReference(`${stored.registry.host}/${stored.repository}`);
    await client.blob(reference, stored.digest).fetchSuffix(10, signal);
    await client.close();
    await assert.rejects(client.blob(reference, stored.digest).fetchSuffix(10, signal), { code: 'unreachable' });
  });
});

describe('requests over TLS', () => {
  let stored: StoredBlob;
  before(async () => {
    stored = await startRegistryWithBlob(1_000);
  });
  after(async () => {
    await stored?.registry.close();
  });

  it('refuses an untrusted certificate at once, with a remedy', limit, async () => {
    const hosts = (host: string) => ({ [host]: { plainHttp: false } });
    await withSimulator(
      stored,
      { tls: true },
      (simulator) => ({ hosts: hosts(simulator.host) }),
      async (session) => {
        const failing = session.client.blob(session.reference, stored.digest).fetchSuffix(10, signal);
        await assert.rejects(failing, { code: 'untrusted', message: /CA certificate/ });
        assert.equal(session.reports.length, 1);
      },
    );
  });

  it('accepts a certificate of a configured CA, and any from an insecure host', limit, async () => {
    const auth = { kind: 'token', anonymousPull: true, lifetimeMs: 60_000 } as const;
    for (const trust of ['ca', 'insecure'] as const) {
      const hosts = (host: string, caPem: string) => ({ [host]: trust === 'ca' ? { caPem } : { insecure: true } });
      await withSimulator(
        stored,
        { tls: true, auth, cdnLifetimeMs: 60_000 },
        (simulator) => ({ hosts: hosts(simulator.host, simulator.caPem!) }),
        async ({ client, reference, simulator }) => {
          const suffix = await client.blob(reference, stored.digest).fetchSuffix(10, signal);
          assert.ok(suffix.bytes.equals(stored.content.subarray(-10)));
          assert.equal(simulator.counts.cdn, 1);
        },
      );
    }
  });

  it('falls back to plain HTTP for an insecure host without TLS, and remembers that', limit, async () => {
    const { host } = stored.registry;
    const client = new RegistryClient({ hosts: { [host]: { insecure: true } } });
    try {
      const source = client.blob(parseReference(`${host}/${stored.repository}`), stored.digest);
      assert.equal((await source.fetchSuffix(10, signal)).bytes.length, 10);
      assert.equal((await source.fetchSuffix(10, signal)).bytes.length, 10);
    } finally {
      await client.close();
    }
  });
});
