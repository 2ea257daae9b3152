/** Access profiles in docker-registry 2.8, which has no API of referrers. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { ACCESS_PROFILE_BLOB, ACCESS_PROFILE_TYPE, parseAccessProfile } from '../estargz/access-profile.ts';
import { hotUnitBytes, parseHotRanges } from '../estargz/hot-ranges.ts';
import { registrySource } from '../images/registry-image.ts';
import { RegistryClient } from '../registry/client.ts';
import { type Digest, digestHex, digestOf } from '../registry/digest.ts';
import { type ImageManifest, mediaTypes } from '../registry/manifest.ts';
import { parseReference, type Reference } from '../registry/reference.ts';
import type { Referrer, ReferrerIndex } from '../registry/referrers.ts';
import type { AccessRecord } from './accesses.ts';
import type { LayerFormat } from './format.ts';
import { convertImage } from './image.ts';
import { type ProfileOptions, publishProfile } from './profile.ts';
import { readRemoteToc } from './remote-toc.ts';
import { run } from './testing/command.ts';
import { pushDockerImage } from './testing/image.ts';
import { rawTar } from './testing/raw-tar.ts';

const limit = { timeout: 60_000 };
const signal = AbortSignal.timeout(300_000);
const client = new RegistryClient();
const suite = suiteLifetime();
const directory = mkdtempSync(join(tmpdir(), 'profile-'));
const chunkSizeBytes = 65_536;
const big = pseudoRandomBytes(2_000_000, 1);
let registry: TestRegistry;

before(async () => {
  registry = await startRegistry(suite);
});
after(async () => {
  rmSync(directory, { recursive: true, force: true });
  await client.close();
});

interface Lazy {
  readonly reference: Reference;
  readonly digest: Digest;
  readonly layers: readonly Digest[];
}

/** `lower` has a big file, `upper` a small one. */
async function pushLazy(name: string, format: LayerFormat): Promise<Lazy> {
  const source = parseReference(`${registry.host}/${name}/src:1`);
  const reference = parseReference(`${registry.host}/${name}/app:1`);
  const tars = [rawTar({ name: 'usr/lib/big', content: big }), rawTar({ name: 'etc/small', content: 'small' })];
  await pushDockerImage(client, source, tars);
  const { digest, layers } = await convertImage(client, source, reference, { format, chunkSizeBytes, signal });
  return { reference, digest, layers: layers.map((layer) => layer.digest) };
}

function accessesOf([lower, upper]: readonly Digest[]): AccessRecord[] {
  const part = (at: number, size: number) => ({ start: at, end: at + size });
  return [
    { layer: lower!, path: 'usr/lib/big', range: part(20 * chunkSizeBytes, 10) },
    { layer: upper!, path: 'etc/small' },
    { layer: lower!, path: '/usr/lib/big', range: part(3 * chunkSizeBytes, chunkSizeBytes + 1) },
  ];
}

const publish = ({ reference }: Lazy, accesses: readonly AccessRecord[], more: Partial<ProfileOptions> = {}) =>
  publishProfile(client, reference, { accesses, signal, ...more });

async function readTag({ reference, digest }: Lazy): Promise<ReferrerIndex> {
  const { registry: host, repository } = reference;
  const tag = `sha256-${digestHex(digest)}`;
  const { bytes, mediaType } = await client.fetchManifest({ registry: host, repository, tag }, signal);
  assert.equal(mediaType, mediaTypes.ociIndex);
  return JSON.parse(bytes.toString()) as ReferrerIndex;
}

/** The chunks of the big file that are in the lower layer's list, in order of use, and the profile's layers. */
async function readProfile(lazy: Lazy, referrer: Referrer) {
  const blob = referrer.annotations![ACCESS_PROFILE_BLOB] as Digest;
  const profile = parseAccessProfile(await client.readBlob(lazy.reference, blob, 1 << 20, signal));
  const { entries, tocDigest, payloadEnd } = (await readRemoteToc(
    client.blob(lazy.reference, lazy.layers[0]!),
    signal,
  ))!;
  const ranges = parseHotRanges(profile.get(lazy.layers[0]!)!, { tocDigest, payloadEnd });
  const chunks = ranges.flatMap(({ start, end }) =>
    entries.flatMap(({ offset = 0, chunkOffset = 0 }) => {
      const unit = Math.floor(offset / hotUnitBytes);
      return offset > 0 && unit >= start && unit < end ? [chunkOffset / chunkSizeBytes] : [];
    }),
  );
  return { chunks, ranks: ranges.map(({ rank }) => rank), layers: [...profile.keys()] };
}

for (const format of ['stargz', 'estargz', 'zstd-chunked'] as const) {
  test(`${format}: the profile has the chunks that were read, and the tag's index names it`, limit, async () => {
    const lazy = await pushLazy(format, format);
    const published = await publish(lazy, accessesOf(lazy.layers));
    assert.deepEqual([published.subject, published.listedBy, published.left], [lazy.digest, 'tag', []]);
    const { manifests } = await readTag(lazy);
    assert.equal(manifests.length, 1);
    const [referrer] = manifests as [Referrer];
    assert.deepEqual([referrer.digest, referrer.artifactType], [published.digest, ACCESS_PROFILE_TYPE]);
    const { chunks, ranks, layers } = await readProfile(lazy, referrer);
    assert.deepEqual(chunks, [20, 3, 4]);
    assert.ok(ranks[0] === 0 && ranks[1]! > 0);
    assert.deepEqual(layers, lazy.layers);
    const { registry: host, repository } = lazy.reference;
    const manifest = await client.fetchManifest({ registry: host, repository, digest: published.digest }, signal);
    const { subject, config } = JSON.parse(manifest.bytes.toString()) as ImageManifest & { subject: Referrer };
    assert.deepEqual([subject.digest, config.mediaType], [lazy.digest, mediaTypes.ociEmpty]);
    const found = await client.findReferrers(
      { reference: lazy.reference, subject: lazy.digest, artifactType: ACCESS_PROFILE_TYPE },
      signal,
    );
    assert.deepEqual(found, manifests);
  });
}

test('publishing again replaces the profile and keeps what other tools published', limit, async () => {
  const lazy = await pushLazy('again', 'stargz');
  const subject = { mediaType: mediaTypes.ociManifest, digest: lazy.digest, size: 1 };
  const theirs = {
    reference: lazy.reference,
    subject,
    artifactType: 'application/vnd.test.signature',
    annotations: {},
  };
  const signature = await client.publishArtifact({ ...theirs, blob: Buffer.from('signed') }, signal);
  const all = accessesOf(lazy.layers);
  const first = await publish(lazy, all);
  const second = await publish(lazy, all.slice(0, 1));
  assert.notEqual(first.digest, second.digest);
  const { manifests } = await readTag(lazy);
  assert.deepEqual(
    manifests.map(({ digest }) => digest),
    [signature.digest, second.digest],
  );
  assert.deepEqual((await readProfile(lazy, manifests[1]!)).chunks, [20]);
});

test('of an index the platform’s manifest gets the profile', limit, async () => {
  const lazy = await pushLazy('index', 'estargz');
  const { bytes } = await client.fetchManifest(lazy.reference, signal);
  const entry = { mediaType: mediaTypes.ociManifest, digest: lazy.digest, size: bytes.length };
  const platform = { os: 'linux', architecture: 'arm64' };
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [{ ...entry, platform }] };
  const { registry: host, repository } = lazy.reference;
  const reference = { registry: host, repository, tag: 'multi' };
  await client.pushManifest(reference, mediaTypes.ociIndex, Buffer.from(JSON.stringify(index)), signal);
  const options = { accesses: accessesOf(lazy.layers), signal };
  await assert.rejects(publishProfile(client, reference, options), { code: 'other-platform', message: /arm64/ });
  assert.equal((await publishProfile(client, reference, { ...options, platform })).subject, lazy.digest);
});

test('a record of another image is refused, unless that image is named', limit, async () => {
  const [recorded, lazy] = [await pushLazy('recorded', 'stargz'), await pushLazy('served', 'estargz')];
  const accesses = accessesOf(recorded.layers);
  await assert.rejects(publish(lazy, accesses), {
    name: 'ConvertError',
    code: 'unknown-layer',
    message: /--recorded-on/,
  });
  await publish(lazy, accesses, { recordedOn: registrySource(client, recorded.reference) });
  assert.deepEqual((await readProfile(lazy, (await readTag(lazy)).manifests[0]!)).chunks, [20, 3, 4]);
});

test('of a node’s record of several images, the lines of this one count', limit, async () => {
  const [lazy, other] = [await pushLazy('node', 'stargz'), digestOf('another image’s layer')];
  const accesses = [{ layer: other, path: 'a' }, ...accessesOf(lazy.layers), { layer: other, path: 'b' }];
  const notices: string[] = [];
  await publish(lazy, accesses, { onNotice: (line) => void notices.push(line) });
  assert.deepEqual(notices, ['left out 2 of 5 lines of the record: they are of other images']);
  assert.deepEqual((await readProfile(lazy, (await readTag(lazy)).manifests[0]!)).chunks, [20, 3, 4]);
});

test('an ordinary image is refused, and one with lists of its own gets a notice', limit, async () => {
  const reference = parseReference(`${registry.host}/ordinary/app:1`);
  const { layers } = await pushDockerImage(client, reference, [rawTar({ name: 'a', content: 'a' })]);
  const ordinary = { accesses: [{ layer: layers[0]!, path: 'a' }], signal };
  await assert.rejects(publishProfile(client, reference, ordinary), { code: 'unsupported-image', message: /convert/ });
  const source = parseReference(`${registry.host}/ordinary/app:1`);
  const target = parseReference(`${registry.host}/ordinary/esgz:1`);
  const { layers: converted } = await convertImage(client, source, target, { ...ordinary, format: 'estargz' });
  const notices: string[] = [];
  const accesses = [{ layer: converted[0]!.digest, path: 'a' }];
  await publishProfile(client, target, { accesses, signal, onNotice: (line) => void notices.push(line) });
  assert.match(notices.join('\n'), /^the image has lists of its own/);
});

test('the command publishes a profile and prints its reference, or reports an error in one line', limit, async () => {
  const lazy = await pushLazy('command', 'stargz');
  const image = `${registry.host}/command/app:1`;
  const record = join(directory, 'accesses.jsonl');
  writeFileSync(record, `{"layer":"${lazy.layers[0]}","path":"usr/lib/big","offset":0,"size":10}\n`);
  const good = await run(['--profile-only', '--record-in', record, image]);
  assert.deepEqual([good.status, good.stderr], [0, '']);
  const [referrer] = (await readTag(lazy)).manifests;
  assert.equal(good.stdout, `${image}@${referrer!.digest}\n`);
  assert.deepEqual((await readProfile(lazy, referrer!)).chunks, [0]);

  writeFileSync(record, `{"layer":"${digestOf('elsewhere')}","path":"a"}\n`);
  const failures: [string[], number, RegExp][] = [
    [['--record-in', record, image], 1, /belongs neither to the source/],
    [['--record-in', join(directory, 'gone'), image], 1, /there is no .*gone/],
    [['--record-in', record, `${registry.host}/command/none:1`], 1, /command\/none/],
    [[image], 2, /needs --record-in/],
  ];
  for (const [argv, status, message] of failures) {
    const outcome = await run(['--profile-only', ...argv]);
    assert.deepEqual([outcome.status, outcome.stdout], [status, ''], outcome.stderr);
    assert.match(outcome.stderr, message);
    assert.match(outcome.stderr, /^convert: [^\n]+\n$/);
  }
});
