import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { HOT_RANGES_LABEL } from '../../snapshotter/estargz/names.ts';
import { RegistryClient } from '../../snapshotter/registry/client.ts';
import { digestOf } from '../../snapshotter/registry/digest.ts';
import { type ImageManifest, parseManifest } from '../../snapshotter/registry/manifest.ts';
import { parseReference } from '../../snapshotter/registry/reference.ts';
import { tinyImage } from '../../testkit/images.ts';
import type { Workload } from '../../workloads/workload.ts';
import { parsePeers } from '../daemon/peers-file.ts';
import { type Registry, startRegistry } from '../registry/registry.ts';
import { ensurePrepared } from './prepared.ts';
import { pushImage } from './synthetic-image.ts';
import { ensureVariants, hasImage, type ImagesRequest, variantNames } from './variants.ts';

const timeout = 120_000;
const profile: Workload = {
  ...{ name: 'tiny', title: '', image: { name: 'tiny', directory: '', parent: undefined } },
  ...{ command: ['cat', '/greeting'], env: [], stdin: undefined, ready: { kind: 'exit', stdout: '' }, timeoutMs: 1 },
};
const legacy = { name: 'tiny', key: '0123456789ab', profile };
const source = 'tiny:legacy-0123456789ab';

let stateDir: string;
let registry: Registry;
let client: RegistryClient;
const steps: string[] = [];
const recorded: string[] = [];

before(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'variants-'));
  const signal = AbortSignal.timeout(timeout);
  registry = await startRegistry({ dataDir: join(stateDir, 'registry') }, signal);
  client = new RegistryClient();
  await pushImage(client, { ...tinyImage, reference: `${registry.address}/${source}` }, signal);
});

beforeEach(() => {
  steps.length = 0;
  recorded.length = 0;
});

after(async () => {
  await client?.close();
  await registry?.close();
  await rm(stateDir, { recursive: true, force: true });
});

const requestFor = (variants: ImagesRequest['variants']): ImagesRequest => ({
  stateDir,
  registry: registry.address,
  client,
  variants,
  record: async (workload, image, path) => {
    recorded.push(`${workload.name} on ${image}`);
    const { layers } = await readManifest(image);
    await writeFile(path, `${JSON.stringify({ layer: layers[1]!.digest, path: 'greeting', offset: 0, size: 6 })}\n`);
  },
  onStep: (detail) => steps.push(detail),
});

async function readManifest(image: string): Promise<ImageManifest> {
  const reference = parseReference(`${registry.address}/${image}`);
  const { bytes, mediaType } = await client.fetchManifest(reference, AbortSignal.timeout(timeout));
  const parsed = parseManifest(bytes, mediaType);
  assert.ok(parsed.kind === 'manifest');
  return parsed.manifest;
}

test('only the variants that are asked for are converted, and each once', { timeout }, async (t) => {
  const noopt = await ensureVariants(legacy, requestFor(['legacy', 'estargz-noopt']), t.signal);
  assert.deepEqual(noopt, { legacy: source, 'estargz-noopt': 'tiny:estargz-noopt-4-0123456789ab' });
  assert.deepEqual(recorded, []);
  const all = await ensureVariants(legacy, requestFor(variantNames), t.signal);
  assert.deepEqual(Object.keys(all).sort(), [...variantNames].sort());
  assert.deepEqual(recorded, ['tiny on tiny:stargz-4-0123456789ab'], 'one record for all formats');
  steps.length = 0;
  assert.deepEqual(await ensureVariants(legacy, requestFor(variantNames), t.signal), all);
  assert.deepEqual(steps, []);
  // As a state directory of an earlier version has them: an image that is there is not converted again.
  assert.equal(all.stargz, 'tiny:stargz-4-0123456789ab');
  assert.equal(all.estargz, 'tiny:estargz-4-56114b7de27c');
});

test('the optimised variants list what was read, and the others do not', { timeout }, async (t) => {
  const all = await ensureVariants(legacy, requestFor(variantNames), t.signal);
  const listed = async (image: string) => {
    const { layers } = await readManifest(image);
    return layers.some(({ annotations }) => annotations?.[HOT_RANGES_LABEL] !== undefined);
  };
  for (const variant of variantNames) {
    assert.equal(await listed(all[variant]!), variant === 'estargz' || variant === 'zstdchunked', variant);
  }
  const { layers } = await readManifest(all.zstdchunked!);
  assert.ok(layers.every(({ mediaType }) => mediaType.endsWith('+zstd')));
});

const peerWith = (prepare: readonly (readonly string[])[]) =>
  parsePeers(
    `[peer.mine]\ncommand = ["daemon", "{socket}"]\nvariants = ["legacy"]\nprepare = ${JSON.stringify(prepare)}`,
    '/peers.toml',
    variantNames,
  )[0]!;

test("a peer's commands make an image of its own, once, with a containerd that is started for them", {
  timeout,
}, async (t) => {
  const peer = peerWith([
    ['ctr', '--address', '{containerd}', 'content', 'fetch', '--plain-http', '{source}'],
    ['ctr', '--address', '{containerd}', 'images', 'tag', '{source}', '{target}'],
    ['ctr', '--address', '{containerd}', 'images', 'push', '--plain-http', '{target}'],
  ]);
  const directory = join(stateDir, 'prepare');
  const request = {
    peer,
    source,
    registry: registry.address,
    client,
    directory,
    onStep: (step: string) => steps.push(step),
  };
  const target = await ensurePrepared(request, t.signal);
  assert.match(target, /^tiny:mine-[0-9a-f]{12}$/);
  const digest = async (image: string) => digestOf(Buffer.from(JSON.stringify((await readManifest(image)).layers)));
  assert.equal(await digest(target), await digest(source));
  assert.deepEqual(steps, ['tiny: prepare for mine']);
  assert.equal(await ensurePrepared(request, t.signal), target);
  assert.equal(steps.length, 1);
  const other = { ...request, peer: { ...peer, prepare: [...peer.prepare, ['true']] } };
  assert.notEqual(await ensurePrepared(other, t.signal), target, 'other commands make another image');
  assert.equal(await ensurePrepared({ ...request, peer: { ...peer, prepare: [] } }, t.signal), source);
});

test('a preparation that cannot run, fails, or pushes nothing says which command and why', { timeout }, async (t) => {
  const directory = join(stateDir, 'prepare');
  const attempt = (...prepare: readonly string[][]) =>
    ensurePrepared(
      { peer: peerWith(prepare), source, registry: registry.address, client, directory, onStep: () => {} },
      t.signal,
    );
  await assert.rejects(attempt(['no-such-tool', '{source}']), {
    code: 'missing-command',
    message: 'cannot prepare images for mine: there is no program no-such-tool',
  });
  await assert.rejects(attempt(['sh', '-c', 'echo bad layer >&2; exit 3', '{target}']), {
    code: 'image-convert',
    message: `preparing ${source} for mine: sh failed: bad layer`,
  });
  await assert.rejects(attempt(['true', '{target}']), {
    code: 'image-convert',
    message: /have not pushed \{target\}, tiny:mine-/,
  });
  assert.equal(await hasImage(client, `${registry.address}/tiny:absent`, t.signal), false);
});
