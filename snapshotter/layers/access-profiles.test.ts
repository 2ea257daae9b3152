import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Fault } from '../../testkit/registry-simulator/fault.ts';
import type { MemoryOrigin } from '../../testkit/registry-simulator/memory-origin.ts';
import { answerWith, readAll } from '../../testkit/registry-simulator/exchange.ts';
import { startRegistrySimulator } from '../../testkit/registry-simulator/simulator.ts';
import {
  ACCESS_PROFILE_BLOB,
  ACCESS_PROFILE_TYPE,
  CREATED,
  encodeAccessProfile,
  maxProfileBytes,
} from '../estargz/access-profile.ts';
import { RegistryClient } from '../registry/client.ts';
import { type Digest, digestOf } from '../registry/digest.ts';
import { hostPlatform, mediaTypes } from '../registry/manifest.ts';
import { parseReference } from '../registry/reference.ts';
import { type AccessProfilesOptions, createAccessProfiles } from './access-profiles.ts';
import type { LayerRequest } from './layer-request.ts';

const limit = { timeout: 20_000 };
const signal = new AbortController().signal;
const [lower, upper] = [digestOf('lower'), digestOf('upper')] as const;
const empty = { mediaType: mediaTypes.ociEmpty, digest: digestOf('{}'), size: 2 };
const image = Buffer.from(JSON.stringify({ schemaVersion: 2, config: empty, layers: [] }));
const subject = { mediaType: mediaTypes.ociManifest, digest: digestOf(image), size: image.length };
const index = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    manifests: [{ ...subject, platform: hostPlatform() }],
    mediaType: mediaTypes.ociIndex,
  }),
);

async function openBench(t: TestContext, options: Partial<AccessProfilesOptions> = {}, faults: readonly Fault[] = []) {
  const manifests = [
    { repository: 'team/image', tag: '1', mediaType: mediaTypes.ociManifest, bytes: image },
    { repository: 'team/image', tag: 'index', mediaType: mediaTypes.ociIndex, bytes: index },
  ];
  const simulator = await startRegistrySimulator({ content: { manifests, hasReferrers: true }, faults });
  const registry = new RegistryClient({ retry: { maxRetries: 3, minWaitMs: 1, maxWaitMs: 2 } });
  const lines: { text: string; fields: object }[] = [];
  const log = {
    info: (fields: object, text: string) => void lines.push({ text, fields }),
    warn: (fields: object, text: string) => void lines.push({ text, fields }),
    trace: (fields: object, text: string) => void lines.push({ text, fields }),
  };
  const profiles = createAccessProfiles({ registry, log, ttlMs: 60_000, ...options });
  t.after(async () => {
    profiles.close();
    await registry.close();
    await simulator.close();
  });
  const { blobs, manifests: stored } = simulator.origin as MemoryOrigin;
  const reference = (tag = '1') => `${simulator.host}/team/image:${tag}`;
  return {
    simulator,
    profiles,
    blobs,
    stored,
    logged: () => lines.map(({ text }) => text),
    lines,
    requests: () => simulator.journal.entries.map(({ method, target }) => `${method} ${target}`),
    request: (digest: Digest, more: Partial<LayerRequest> = {}): LayerRequest => ({
      ...{ reference: reference(), digest, siblings: [lower, upper], skipVerify: false },
      ...{ manifestDigest: subject.digest, ...more },
    }),
    reference,
    publish: (blob: Buffer, annotations: Record<string, string> = {}) =>
      registry.publishArtifact(
        {
          ...{ reference: parseReference(reference()), subject, artifactType: ACCESS_PROFILE_TYPE, blob },
          annotations: { [ACCESS_PROFILE_BLOB]: digestOf(blob), ...annotations },
        },
        signal,
      ),
  };
}

const profile = encodeAccessProfile(new Map([[lower, 'AQ']]));

test('the layers of an image share one lookup of two round trips', limit, async (t) => {
  const { profiles, publish, request, simulator, requests, logged } = await openBench(t);
  await publish(profile);
  const before = simulator.counts.requests;
  const lists = await Promise.all([profiles.find(request(lower)), profiles.find(request(upper))]);
  assert.deepEqual(lists, ['AQ', undefined]);
  // The API is known from the publication.
  assert.equal(requests().slice(before).length, 2);
  assert.match(requests()[before]!, /referrers/);
  assert.ok(requests()[before + 1]!.endsWith(digestOf(profile)));
  assert.deepEqual(logged(), ['access profile found']);
});

test('an image without a profile is looked up once, until it is forgotten', limit, async (t) => {
  const { profiles, request, requests, logged } = await openBench(t);
  for (const digest of [lower, upper, lower]) assert.equal(await profiles.find(request(digest)), undefined);
  assert.equal(requests().length, 2);
  assert.deepEqual(logged(), ['no access profile']);
  const other = await openBench(t, { ttlMs: 0 });
  await other.profiles.find(other.request(lower));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await other.profiles.find(other.request(lower));
  assert.deepEqual(other.logged(), ['no access profile', 'no access profile']);
});

test('an image whose layers have lists of their own is not looked up', limit, async (t) => {
  const { profiles, request, requests } = await openBench(t);
  assert.equal(await profiles.find(request(lower, { hotRanges: 'AQ' })), undefined);
  assert.equal(await profiles.find(request(upper)), undefined);
  assert.deepEqual(requests(), []);
});

test('of a client that does not say which manifest it pulls, that of this platform is taken', limit, async (t) => {
  const { profiles, publish, request, reference } = await openBench(t);
  await publish(profile);
  for (const tag of ['1', 'index']) {
    const { manifestDigest: _, ...unsaid } = request(lower);
    assert.equal(await profiles.find({ ...unsaid, reference: reference(tag) }), 'AQ');
  }
});

test('of several profiles the newest counts', limit, async (t) => {
  const { profiles, publish, request, stored } = await openBench(t);
  await publish(encodeAccessProfile(new Map([[lower, 'NEW']])), { [CREATED]: '2026-11-26T00:00:01Z' });
  const [key, kept] = [...stored].at(-1)!;
  await publish(profile, { [CREATED]: '2026-11-26T00:00:00Z' });
  // As in a registry that deletes nothing.
  stored.set(key, kept);
  assert.equal(await profiles.find(request(lower)), 'NEW');
});

test('a registry that lists no annotations is asked for the manifest of the profile', limit, async (t) => {
  const unlisted: Fault = {
    ...{ name: 'no-annotations', harmless: true, on: ['referrers'] },
    async bend(answer) {
      return answerWith(200, (await readAll(answer.body!)).toString().replaceAll('annotations', 'unlisted'));
    },
  };
  const { profiles, publish, request, requests } = await openBench(t, {}, [unlisted]);
  await publish(profile);
  const before = requests().length;
  assert.equal(await profiles.find(request(lower)), 'AQ');
  assert.equal(requests().length - before, 3);
});

const hostile: readonly [what: string, blob: Buffer, message: RegExp][] = [
  ['no JSON', Buffer.from('<html>'), /not JSON/],
  ['too large', Buffer.alloc(maxProfileBytes + 1, ' '), /profile of 262145 bytes/],
  ['of another version', Buffer.from('{"version":7}'), /unknown version/],
];
for (const [what, blob, message] of hostile) {
  test(`a profile that is ${what} is logged, and the image has none`, limit, async (t) => {
    const { profiles, publish, request, lines } = await openBench(t);
    await publish(blob);
    assert.equal(await profiles.find(request(lower)), undefined);
    assert.deepEqual([lines.length, lines[0]!.text], [1, 'access profile not looked up']);
    assert.match((lines[0]!.fields as { error: string }).error, message);
    // Another image of the registry is looked up nevertheless.
    await profiles.find(request(lower, { manifestDigest: digestOf('another') }));
    assert.equal(lines[1]!.text, 'no access profile');
  });
}

test('a blob that is not of the listed digest is not used', limit, async (t) => {
  const { profiles, publish, request, lines, blobs } = await openBench(t);
  await publish(profile);
  blobs.set(digestOf(profile), Buffer.from(profile.toString().replace('AQ', 'XX')));
  assert.equal(await profiles.find(request(lower)), undefined);
  assert.match((lines[0]!.fields as { error: string }).error, /has another digest/);
});

test(
  'a registry that does not answer is given up after the limit, and not asked again for a while',
  limit,
  async (t) => {
    const hangs: Fault = { name: 'hangs', harmless: true, on: ['referrers', 'manifest'], breaks: 'hang' };
    const { profiles, request, requests, logged } = await openBench(t, { limitMs: 50 }, [hangs]);
    assert.equal(await profiles.find(request(lower)), undefined);
    assert.deepEqual(logged(), ['access profile not looked up']);
    const asked = requests().length;
    assert.ok(asked <= 2);
    assert.equal(await profiles.find(request(lower, { manifestDigest: digestOf('another') })), undefined);
    assert.equal(requests().length, asked);
  },
);

test('of many images at once, some are looked up with a later layer', limit, async (t) => {
  const { profiles, request, requests } = await openBench(t);
  const images = Array.from({ length: 50 }, (_, n) => request(lower, { manifestDigest: digestOf(`image ${n}`) }));
  await Promise.all(images.map((one) => profiles.find(one)));
  assert.ok(requests().length <= 16, `${requests().length} requests`);
  const before = requests().length;
  await profiles.find(images.at(-1)!);
  assert.ok(requests().length > before, 'an image that was left out is looked up with its next layer');
});
