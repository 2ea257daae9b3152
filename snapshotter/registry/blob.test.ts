import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RegistryClient } from './client.ts';
import { parseReference } from './reference.ts';
import { fault, faults } from '../../testkit/registry-simulator/faults.ts';
import {
  collect,
  limit,
  recordingClock,
  type StoredBlob,
  startRegistryWithBlob,
  withSimulator,
} from './testing/fixture.ts';
import { privateHeader } from '../../testkit/registry-simulator/journal.ts';
import { startRegistrySimulator } from '../../testkit/registry-simulator/simulator.ts';

const signal = new AbortController().signal;

describe('ranges of a blob from all kinds of servers', () => {
  let stored: StoredBlob;
  before(async () => {
    stored = await startRegistryWithBlob(2_000_000);
  });
  after(async () => {
    await stored?.registry.close();
  });

  const ranges = [
    [0, 1],
    [1_000, 70_001],
    [1_999_999, 2_000_000],
    [0, 2_000_000],
  ] as const;

  const forms = faults.filter(({ name, harmless }) => harmless && /^(range|suffix)-/.test(name));
  for (const form of [undefined, ...forms]) {
    it(`reads the same bytes where the server bends ${form?.name ?? 'nothing'}`, limit, async () => {
      const bent = form === undefined ? [] : [form];
      await withSimulator(stored, { faults: bent }, { retry: { minWaitMs: 1 } }, async ({ client, reference }) => {
        for (const lengthBytes of [1, 5_000, 400_000, 3_000_000]) {
          const suffix = await client.blob(reference, stored.digest).fetchSuffix(lengthBytes, signal);
          assert.ok(suffix.bytes.equals(stored.content.subarray(-lengthBytes)), `suffix of ${lengthBytes}`);
          assert.equal(suffix.blobSizeBytes, stored.content.length);
          assert.equal(suffix.offset, Math.max(0, stored.content.length - lengthBytes));
        }
        const source = client.blob(reference, stored.digest);
        for (const [start, end] of ranges) {
          const bytes = await collect(source.fetchRange(start, end, signal));
          assert.ok(bytes.equals(stored.content.subarray(start, end)), `${start} to ${end}`);
        }
      });
    });
  }

  it('derives the size from a suffix whose Content-Range has * for it', limit, async () => {
    for (const form of [[], [fault('range-multipart')]]) {
      await withSimulator(
        stored,
        { faults: [fault('range-total-hidden'), ...form] },
        {},
        async ({ client, reference }) => {
          const source = client.blob(reference, stored.digest);
          const suffix = await source.fetchSuffix(100, signal);
          assert.equal(suffix.blobSizeBytes, stored.content.length);
          assert.equal(suffix.offset, stored.content.length - 100);
          const bytes = await collect(source.fetchRange(10, 500, signal));
          assert.ok(bytes.equals(stored.content.subarray(10, 500)));
        },
      );
    }
  });

  it('does not read a whole blob to its end for its first bytes', limit, async () => {
    await withSimulator(stored, { faults: [fault('range-whole')] }, {}, async ({ client, reference, reports }) => {
      await collect(client.blob(reference, stored.digest).fetchRange(0, 1000, signal));
      assert.equal(reports.length, 1);
      assert.ok(reports[0]!.bytes < stored.content.length, `${reports[0]!.bytes} bytes read`);
      assert.equal(reports[0]!.error, undefined);
    });
  });

  for (const form of ['range-extra-bytes', 'range-shifted', 'range-unlabelled', 'range-multipart-garbage'] as const) {
    it(`refuses ${form} as a breach of the protocol`, limit, async () => {
      await withSimulator(stored, { faults: [fault(form)] }, {}, async ({ client, reference }) => {
        const source = client.blob(reference, stored.digest);
        await assert.rejects(collect(source.fetchRange(100, 200, signal)), { code: 'protocol' });
        await assert.rejects(source.fetchSuffix(100, signal), { code: 'protocol' });
      });
    });
  }

  it('resumes where a body broke off, requesting only what is missing', limit, async () => {
    const weather = { cut: 1, maxInARow: 3 };
    for (const faults of [[], [fault('range-multipart-split')]]) {
      await withSimulator(stored, { weather, faults }, {}, async ({ client, reference, simulator, reports }) => {
        const source = client.blob(reference, stored.digest);
        const bytes = await collect(source.fetchRange(5, 1_900_005, signal));
        assert.ok(bytes.equals(stored.content.subarray(5, 1_900_005)));
        assert.equal(simulator.counts.cuts, 3);
        assert.equal(reports.length, 4);
        assert.ok(reports.reduce((sum, report) => sum + report.bytes, 0) < 1_902_000);
        const suffix = await source.fetchSuffix(300_000, signal);
        assert.ok(suffix.bytes.equals(stored.content.subarray(-300_000)));
        assert.equal(simulator.counts.cuts, 6);
        assert.ok((await collect(client.fetchBlob(reference, stored.digest, signal))).equals(stored.content));
      });
    }
  });

  it('gives up on a body that never arrives after the permitted retries', limit, async () => {
    const clock = recordingClock();
    const weather = { reset: 1, maxInARow: 1_000 };
    await withSimulator(
      stored,
      { weather },
      { clock, retry: { maxRetries: 2 } },
      async ({ client, reference, simulator }) => {
        const reading = collect(client.blob(reference, stored.digest).fetchRange(0, 10, signal));
        await assert.rejects(reading, { code: 'unreachable' });
        assert.equal(simulator.counts.resets, 3);
        simulator.behave({ weather: { cut: 1, maxInARow: 1_000 } });
        const cut = collect(client.blob(reference, stored.digest).fetchRange(0, 10, signal));
        await assert.rejects(cut, { code: 'unreachable', message: /body ended|SOCKET|ECONNRESET/ });
        assert.equal(simulator.counts.cuts, 3);
      },
    );
  });

  it('reads the right bytes through 429, 503, resets and cuts in any order', limit, async () => {
    const weather = { tooManyRequests: 0.15, serverError: 0.15, reset: 0.15, cut: 0.2 };
    for (const seed of [1, 2, 3]) {
      await withSimulator(
        stored,
        { weather, seed, cdnLifetimeMs: 60_000 },
        { clock: recordingClock() },
        async ({ client, reference, simulator, reports }) => {
          const source = client.blob(reference, stored.digest);
          const starts = Array.from({ length: 40 }, (_, index) => index * 50_000);
          const pieces = await Promise.all(
            starts.map((start) => collect(source.fetchRange(start, start + 50_000, signal))),
          );
          assert.ok(Buffer.concat(pieces).equals(stored.content));
          const { tooManyRequests, serverErrors, resets, cuts } = simulator.counts;
          assert.ok(tooManyRequests > 0 && serverErrors > 0 && resets > 0 && cuts > 0);
          assert.ok(reports.length < 40 * 8, `${reports.length} requests for 40 ranges`);
        },
      );
    }
  });

  it('remembers the redirect of a blob, and resolves it again when the URL expires', limit, async () => {
    for (const cdnTellsExpiry of [true, false]) {
      const hostile = { cdnLifetimeMs: 60_000, cdnTellsExpiry };
      await withSimulator(stored, hostile, {}, async ({ client, reference, simulator }) => {
        const source = client.blob(reference, stored.digest);
        await source.fetchSuffix(10, signal);
        await collect(source.fetchRange(0, 10, signal));
        assert.deepEqual([simulator.counts.blobs, simulator.counts.cdn], [1, 2]);
      });
      await withSimulator(
        stored,
        { ...hostile, cdnLifetimeMs: 1_200 },
        {},
        async ({ client, reference, simulator }) => {
          const source = client.blob(reference, stored.digest);
          await source.fetchSuffix(10, signal);
          await new Promise((resolve) => setTimeout(resolve, 1_300));
          const bytes = await collect(source.fetchRange(0, 10, signal));
          assert.ok(bytes.equals(stored.content.subarray(0, 10)));
          assert.equal(simulator.counts.blobs, 2);
          assert.equal(simulator.counts.cdnRefused, cdnTellsExpiry ? 0 : 1);
        },
      );
    }
  });

  it('sends neither Authorization nor private headers to the host it is redirected to', limit, async () => {
    const auth = { kind: 'token', users: {}, anonymousPull: true, lifetimeMs: 60_000 } as const;
    const hosts = (host: string) => ({ [host]: { headers: { [privateHeader]: 'secret' } } });
    await withSimulator(
      stored,
      { auth, cdnLifetimeMs: 60_000 },
      (simulator) => ({ hosts: hosts(simulator.host) }),
      async ({ client, reference, simulator }) => {
        const source = client.blob(reference, stored.digest);
        await source.fetchSuffix(10, signal);
        await collect(source.fetchRange(0, 10, signal));
        assert.equal(simulator.issuedTokens(), 1);
        assert.deepEqual([simulator.counts.cdn, simulator.counts.leaks], [2, 0]);
      },
    );
  });

  it('keeps a signed URL out of the error when the CDN keeps refusing', limit, async () => {
    await withSimulator(stored, { cdnLifetimeMs: -1000 }, {}, async ({ client, reference, simulator }) => {
      await assert.rejects(client.blob(reference, stored.digest).fetchSuffix(10, signal), (error: Error) => {
        assert.equal((error as Error & { code: string }).code, 'unauthorized');
        assert.doesNotMatch(`${error.message} ${error.stack}`, /Signature/);
        return true;
      });
      // Two for the suffix, two for the plain range that could replace it.
      assert.equal(simulator.counts.cdnRefused, 4);
    });
  });

  it('tries mirrors in order, then the registry, and stays with the one that answered', limit, async () => {
    const empty = await startRegistryWithBlob(10);
    const mirror = await startRegistrySimulator({ upstream: stored.registry.host });
    const dead = '127.0.0.1:1';
    const mirrors = [{ host: dead }, { host: empty.registry.host }, { host: mirror.host }];
    const hosts = { 'registry.test': { mirrors } };
    const client = new RegistryClient({ hosts, retry: { maxRetries: 0 } });
    try {
      const source = client.blob(parseReference(`registry.test/${stored.repository}`), stored.digest);
      await source.fetchSuffix(10, signal);
      const bytes = await collect(source.fetchRange(0, 10, signal));
      assert.ok(bytes.equals(stored.content.subarray(0, 10)));
      assert.equal(mirror.counts.blobs, 2);
    } finally {
      await client.close();
      await mirror.close();
      await empty.registry.close();
    }
  });

  it('moves on to the next server when one keeps cutting bodies short', limit, async () => {
    const mirror = await startRegistrySimulator({
      upstream: stored.registry.host,
      weather: { cut: 1, maxInARow: 1_000 },
    });
    const { host } = stored.registry;
    const client = new RegistryClient({ hosts: { [host]: { mirrors: [{ host: mirror.host }] } } });
    try {
      const source = client.blob(parseReference(`${host}/${stored.repository}`), stored.digest);
      const bytes = await collect(source.fetchRange(0, 10, signal));
      assert.ok(bytes.equals(stored.content.subarray(0, 10)));
      assert.equal(mirror.counts.cuts, 1);
    } finally {
      await client.close();
      await mirror.close();
    }
  });

  it('falls back from a mirror without the blob to the registry, whose error is the one reported', limit, async () => {
    const empty = await startRegistryWithBlob(10);
    const { host } = stored.registry;
    const client = new RegistryClient({ hosts: { [host]: { mirrors: [{ host: empty.registry.host }] } } });
    try {
      const reference = parseReference(`${host}/${stored.repository}`);
      const suffix = await client.blob(reference, stored.digest).fetchSuffix(10, signal);
      assert.ok(suffix.bytes.equals(stored.content.subarray(-10)));
      const missing = client.fetchManifest(parseReference(`${host}/no/such`), signal);
      await assert.rejects(missing, { code: 'not-found', host });
    } finally {
      await client.close();
      await empty.registry.close();
    }
  });

  it('uses the URLs of a descriptor when no registry has the blob', limit, async () => {
    const empty = await startRegistryWithBlob(10);
    const client = new RegistryClient();
    try {
      const url = `http://${stored.registry.host}/v2/${stored.repository}/blobs/${stored.digest}`;
      const reference = parseReference(`${empty.registry.host}/other/image`);
      const source = client.blob(reference, stored.digest, ['ftp://127.0.0.1/x', url]);
      assert.ok((await source.fetchSuffix(10, signal)).bytes.equals(stored.content.subarray(-10)));
      assert.ok((await collect(source.fetchRange(3, 9, signal))).equals(stored.content.subarray(3, 9)));
    } finally {
      await client.close();
      await empty.registry.close();
    }
  });
});
