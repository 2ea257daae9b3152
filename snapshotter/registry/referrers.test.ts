import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { answerWith } from '../../testkit/registry-simulator/exchange.ts';
import type { MemoryOrigin } from '../../testkit/registry-simulator/memory-origin.ts';
import type { RegistrySimulator, SimulatorOptions } from '../../testkit/registry-simulator/simulator.ts';
import type { RegistryClient } from './client.ts';
import { digestHex, digestOf } from './digest.ts';
import type { RegistryError } from './error.ts';
import { type Descriptor, mediaTypes } from './manifest.ts';
import { mergeReferrer } from './referrer-push.ts';
import type { Referrer } from './referrers.ts';
import { fixedKeychain, limit } from './testing/fixture.ts';
import { content, imageOf, manifest, openClient, startSimulator } from './testing/simulated.ts';

const signal = new AbortController().signal;
const artifactType = 'application/vnd.test.profile.v1+json';
const subject: Descriptor = { mediaType: mediaTypes.ociManifest, digest: digestOf(manifest), size: manifest.length };
const hosts = (host: string) => ({ [host]: { requestTimeoutMs: 300 } });

function publish(client: RegistryClient, simulator: RegistrySimulator, text: string, type = artifactType) {
  const blob = Buffer.from(text);
  const reference = imageOf(simulator);
  return client.publishArtifact({ reference, subject, artifactType: type, blob, annotations: { text } }, signal);
}

async function findTexts(client: RegistryClient, simulator: RegistrySimulator): Promise<(string | undefined)[]> {
  const query = { reference: imageOf(simulator), subject: subject.digest, artifactType };
  return (await client.findReferrers(query, signal)).map(({ annotations }) => annotations?.text);
}

function targets({ journal }: RegistrySimulator): string[] {
  return journal.entries.map(({ method, target }) => `${method} ${target.replace(/\?.*/, '?')}`);
}

async function startWith(t: TestContext, hasReferrers: boolean, options: SimulatorOptions = {}) {
  const simulator = await startSimulator(t, { content: { ...content, hasReferrers }, ...options });
  return { simulator, client: openClient(t, { hosts: hosts(simulator.host) }) };
}

for (const hasReferrers of [true, false]) {
  const listedBy = hasReferrers ? 'api' : 'tag';
  test(`an artifact listed by ${listedBy} is found, and replaces its predecessor alone`, limit, async (t) => {
    const { simulator, client } = await startWith(t, hasReferrers);
    assert.deepEqual(await findTexts(client, simulator), []);
    for (const text of ['signature 1', 'signature 2', 'signature 3'])
      await publish(client, simulator, text, `application/vnd.test.${text.replace(' ', '-')}`);
    const first = await publish(client, simulator, 'first');
    assert.deepEqual([first.listedBy, first.left], [listedBy, []]);
    assert.deepEqual(await findTexts(client, simulator), ['first']);
    await publish(client, simulator, 'second');
    await publish(client, simulator, 'second');
    assert.deepEqual(await findTexts(client, simulator), ['second']);
    const { manifests } = simulator.origin as MemoryOrigin;
    const tag = manifests.get(`team/image:sha256-${digestHex(subject.digest)}`);
    if (hasReferrers) assert.equal(tag, undefined);
    else {
      const index = JSON.parse(tag!.bytes.toString()) as { manifests: Referrer[] };
      assert.deepEqual(
        index.manifests.map(({ annotations }) => annotations?.text),
        ['signature 1', 'signature 2', 'signature 3', 'second'],
      );
    }
  });

  test(
    `a lookup at a server that lists by ${listedBy} takes one request more only the first time`,
    limit,
    async (t) => {
      const { simulator, client } = await startWith(t, hasReferrers);
      await findTexts(client, simulator);
      const both = [
        `GET /v2/team/image/referrers/${subject.digest}?`,
        `GET /v2/team/image/manifests/sha256-${digestHex(subject.digest)}`,
      ];
      assert.deepEqual(targets(simulator).sort(), both.toSorted());
      await findTexts(client, simulator);
      assert.deepEqual(targets(simulator).slice(2), [both[hasReferrers ? 0 : 1]]);
    },
  );
}

test('a page is followed by the next, on the same host only', limit, async (t) => {
  const { simulator, client } = await startWith(t, true);
  const { manifests } = simulator.origin as MemoryOrigin;
  for (let n = 0; n < 5; n++) {
    const bytes = Buffer.from(JSON.stringify({ subject, artifactType, annotations: { text: `${n}` } }));
    manifests.set(`team/image:${digestOf(bytes)}`, { mediaType: mediaTypes.ociManifest, bytes });
  }
  assert.deepEqual(await findTexts(client, simulator), ['0', '1', '2', '3', '4']);
  const elsewhere = { link: `<http://127.0.0.9:9/next>; rel="next"` };
  simulator.behave({
    faults: [
      {
        name: 'next-elsewhere',
        harmless: true,
        on: ['referrers'],
        bend: (answer) => ({ ...answer, headers: { ...answer.headers, ...elsewhere } }),
      },
    ],
  });
  assert.deepEqual(await findTexts(client, simulator), ['0', '1']);
});

test('an earlier artifact that the registry does not delete is reported', limit, async (t) => {
  const { simulator, client } = await startWith(t, true);
  const first = await publish(client, simulator, 'first');
  simulator.behave({
    faults: [{ name: 'no-delete', harmless: true, on: ['delete'], bend: (answer) => ({ ...answer, status: 405 }) }],
  });
  const second = await publish(client, simulator, 'second');
  assert.deepEqual(second.left, [first.digest]);
});

test('a failed lookup is one request, and leaves the order of the servers as it is', limit, async (t) => {
  const { simulator, client } = await startWith(t, true);
  simulator.behave({
    faults: [{ name: 'broken', harmless: true, on: ['referrers', 'manifest'], breaks: 'reset', times: 2 }],
  });
  await assert.rejects(findTexts(client, simulator), { code: 'unreachable' });
  assert.ok(simulator.counts.requests <= 2, `${simulator.counts.requests} requests`);
  await client.fetchManifest(imageOf(simulator), signal);
});

test('an index under the tag that cannot be read is not overwritten', limit, async (t) => {
  const { simulator, client } = await startWith(t, false);
  const { manifests } = simulator.origin as MemoryOrigin;
  const tag = `team/image:sha256-${digestHex(subject.digest)}`;
  manifests.set(tag, { mediaType: mediaTypes.ociManifest, bytes: manifest });
  await assert.rejects(publish(client, simulator, 'mine'), { code: 'protocol', message: /an index of referrers/ });
  assert.deepEqual(manifests.get(tag)!.bytes, manifest);
});

test('what another client writes at the same time stays in the index', limit, async (t) => {
  const { simulator, client } = await startWith(t, false);
  const { manifests } = simulator.origin as MemoryOrigin;
  const tag = `team/image:sha256-${digestHex(subject.digest)}`;
  const theirs: Referrer = {
    mediaType: mediaTypes.ociManifest,
    digest: digestOf('theirs'),
    size: 6,
    artifactType: 'a/b',
  };
  let writes = 0;
  simulator.behave({
    faults: [
      {
        name: 'overwritten',
        harmless: true,
        on: ['tag'],
        // After our PUT, that of a client who read before it.
        bend(answer, { request }) {
          if (!request.url.pathname.includes('/sha256-') || writes++ > 0) return answer;
          const bytes = Buffer.from(
            JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [theirs] }),
          );
          manifests.set(tag, { mediaType: mediaTypes.ociIndex, bytes });
          return { ...answer };
        },
      },
    ],
  });
  await publish(client, simulator, 'ours');
  const index = JSON.parse(manifests.get(tag)!.bytes.toString()) as { manifests: Referrer[] };
  assert.deepEqual(
    index.manifests.map(({ artifactType: type }) => type),
    ['a/b', artifactType],
  );
});

test('a merge keeps fields that are unknown here, and changes nothing where nothing is to change', limit, () => {
  const own: Referrer = { mediaType: mediaTypes.ociManifest, digest: digestOf('own'), size: 3, artifactType };
  const old: Referrer = { ...own, digest: digestOf('old') };
  const theirs = { ...own, digest: digestOf('theirs'), artifactType: 'a/b', data: 'e30=' };
  const before = { schemaVersion: 2, annotations: { a: 'b' }, manifests: [old, theirs, old] } as const;
  const { index, replaced } = mergeReferrer(before, own);
  assert.deepEqual(index, { ...before, manifests: [theirs, own] });
  assert.deepEqual(replaced, [old.digest]);
  assert.deepEqual(mergeReferrer(index, own), { index: undefined, replaced: [] });
});

test('no error of a lookup or of a publication has a credential or a signature', limit, async (t) => {
  const { simulator } = await startWith(t, true, {
    auth: { kind: 'token', users: { alice: 'hunter2' }, lifetimeMs: 60_000 },
  });
  const secret = 'eyJzZWNyZXQifQ';
  const client = openClient(t, {
    hosts: hosts(simulator.host),
    keychains: [fixedKeychain({ kind: 'basic', username: 'alice', password: 'hunter2' })],
  });
  const words = JSON.stringify({
    errors: [{ code: 'DENIED', message: `Bearer ${secret} of https://cdn/x?sig=${secret}` }],
  });
  const errors: RegistryError[] = [];
  for (const status of [400, 403, 500]) {
    simulator.behave({
      faults: [
        {
          name: `words-${status}`,
          harmless: true,
          on: ['referrers', 'manifest', 'tag', 'delete'],
          bend(answer) {
            return { ...answerWith(status, words), release: answer.release ?? (() => {}) };
          },
        },
      ],
    });
    for (const attempt of [findTexts(client, simulator), publish(client, simulator, 'x')])
      await attempt.catch((error: RegistryError) => errors.push(error));
  }
  assert.equal(errors.length, 6);
  for (const error of errors) {
    assert.equal(error.name, 'RegistryError');
    assert.doesNotMatch(`${error.message} ${error.cause}`, /eyJz|hunter2/);
  }
});
