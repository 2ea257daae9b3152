import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { FOOTER_MAX, type Footer, parseFooter } from '../estargz/footer.ts';
import { isPackedToc } from '../estargz/packed-toc.ts';
import { RegistryClient } from '../registry/client.ts';
import { digestOf } from '../registry/digest.ts';
import { type ImageManifest, mediaTypes, parseManifest } from '../registry/manifest.ts';
import { parseReference, type Reference } from '../registry/reference.ts';
import { convertImage, type RegistryOptions } from './image.ts';
import type { PushedLayer } from './image-layers.ts';
import type { ConvertProgress } from './progress.ts';
import { pushBytes, pushDockerImage } from './testing/image.ts';
import { type LazyBlob, openLazyBlob } from './testing/lazy-blob.ts';
import { rawTar } from './testing/raw-tar.ts';
import { packTree } from './testing/source-tree.ts';

const base = packTree([
  { kind: 'file', path: 'bin/sh', content: Buffer.alloc(200_000, 'sh') },
  { kind: 'file', path: 'etc/os-release', content: Buffer.from('ID=debian\n') },
]);
const app = packTree([{ kind: 'file', path: 'app/main', content: Buffer.alloc(50_000, 'main') }]);
const other = packTree([{ kind: 'file', path: 'app/other', content: Buffer.alloc(50_000, 'other') }]);

const suite = suiteLifetime();
let registry: TestRegistry;
let cacheDir: string;
const requests: string[] = [];
const client = new RegistryClient({ onRequest: ({ method, path }) => void requests.push(`${method} ${path}`) });
const signal = AbortSignal.timeout(120_000);

before(async () => {
  registry = await startRegistry(suite);
  cacheDir = mkdtempSync(join(tmpdir(), 'convert-cache-'));
});
after(async () => {
  await client.close();
  rmSync(cacheDir, { recursive: true, force: true });
});

function reference(name: string): Reference {
  return parseReference(`${registry.host}/${name}`);
}

function convert(source: string, target: string, options: Partial<RegistryOptions> = {}) {
  return convertImage(client, reference(source), reference(target), { format: 'estargz', signal, ...options });
}

async function fetchManifest(name: string): Promise<ImageManifest> {
  const { bytes, mediaType } = await client.fetchManifest(reference(name), signal);
  assert.equal(mediaType, mediaTypes.ociManifest);
  const parsed = parseManifest(bytes, mediaType);
  assert.equal(parsed.kind, 'manifest');
  return (parsed as { manifest: ImageManifest }).manifest;
}

async function fetchLayer(name: string, index: number): Promise<LazyBlob> {
  const { digest } = (await fetchManifest(name)).layers[index]!;
  const path = join(cacheDir, 'fetched');
  await writeFile(path, client.fetchBlob(reference(name), digest, signal));
  return openLazyBlob(path);
}

async function fetchJson(name: string, digest: ImageManifest['config']['digest']): Promise<Record<string, unknown>> {
  const pieces: Buffer[] = [];
  for await (const piece of client.fetchBlob(reference(name), digest, signal)) pieces.push(piece);
  return JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>;
}

test('a Docker image becomes an OCI image with annotated layers, new DiffIDs and the rest of its config', {
  timeout: 60_000,
}, async () => {
  const source = await pushDockerImage(client, reference('one/src:1'), [base, app]);
  const image = await convert('one/src:1', 'one/out:1', { cacheDir });
  const manifest = await fetchManifest('one/out:1');
  assert.equal(digestOf((await client.fetchManifest(reference('one/out:1'), signal)).bytes), image.digest);
  const tocSizes = image.layers.map(({ path, sizeBytes }) => sizeBytes - footerOf(path).tocOffset);
  const packedTocOf = ({ path, packedTocBytes }: PushedLayer): Buffer => {
    const { tocEnd } = footerOf(path);
    return readFileSync(path).subarray(tocEnd - packedTocBytes, tocEnd);
  };
  const packedTocSizes = image.layers.map((layer) => layer.packedTocBytes);
  assert.ok(image.layers.every((layer) => isPackedToc(packedTocOf(layer), 'gzip')));
  assert.deepEqual(
    manifest.layers.map(({ mediaType, digest, size, annotations }) => ({ mediaType, digest, size, annotations })),
    image.layers.map((layer, index) => ({
      mediaType: mediaTypes.ociLayerGzip,
      digest: layer.digest,
      size: layer.sizeBytes,
      annotations: {
        'containerd.io/snapshot/stargz/toc.digest': layer.tocDigest,
        'containerd.io/snapshot/stargz/toc-sizes': tocSizes.slice(index).join(','),
        'containerd.io/snapshot/stargz/packed-toc.digest': digestOf(packedTocOf(layer)),
        'containerd.io/snapshot/stargz/packed-toc-sizes': packedTocSizes.slice(index).join(','),
        'io.containers.estargz.uncompressed-size': String(layer.uncompressedSizeBytes),
      },
    })),
  );
  assert.deepEqual(
    image.layers.map((layer) => layer.source),
    source.layers,
  );
  assert.equal(manifest.config.mediaType, mediaTypes.ociConfig);
  const config = await fetchJson('one/out:1', manifest.config.digest);
  assert.deepEqual(config.rootfs, { type: 'layers', diff_ids: image.layers.map((layer) => layer.diffId) });
  assert.deepEqual(config.history, [{ created_by: 'step 0' }, { created_by: 'step 1' }]);
  assert.equal(config['org.example.unknown'], 'kept');
  assert.deepEqual(
    readdirSync(cacheDir).toSorted(),
    ['inheriting', 'layers', 'origins'],
    'the work directory is removed',
  );
});

test('a layer shared with a converted image is not fetched, converted or uploaded again', {
  timeout: 60_000,
}, async () => {
  const source = await pushDockerImage(client, reference('two/src:1'), [base, other]);
  requests.length = 0;
  const image = await convert('two/src:1', 'two/out:1', { cacheDir });
  assert.deepEqual(
    image.layers.map(({ cached, outcome }) => [cached, outcome]),
    [
      [true, 'mounted'],
      [false, 'pushed'],
    ],
  );
  const fetches = requests.filter((request) => request === `GET /v2/two/src/blobs/${source.layers[0]}`);
  assert.deepEqual(fetches, []);
  const again = await convert('two/src:1', 'two/out:again', { cacheDir });
  assert.equal(again.digest, image.digest, 'the same input gives the same image');
  assert.deepEqual(
    again.layers.map(({ cached, outcome }) => [cached, outcome]),
    [
      [true, 'present'],
      [true, 'present'],
    ],
  );
});

test('a cached layer that was damaged on disk is converted again', { timeout: 60_000 }, async () => {
  await pushDockerImage(client, reference('three/src:1'), [app]);
  const good = await convert('three/src:1', 'three/out:1', { cacheDir });
  for (const key of readdirSync(join(cacheDir, 'layers'))) appendFileSync(join(cacheDir, 'layers', key, 'blob'), 'x');
  const anew = await convert('three/src:1', 'three/out:2', { cacheDir });
  assert.equal(anew.digest, good.digest);
  assert.equal(anew.layers[0]?.cached, false);
});

test('accesses recorded on a converted image apply to the layers of its source', { timeout: 60_000 }, async () => {
  await pushDockerImage(client, reference('four/src:1'), [base, app]);
  const stargz = await convert('four/src:1', 'four/src:stargz', { format: 'stargz', cacheDir });
  const manifest = await fetchManifest('four/src:stargz');
  assert.deepEqual(
    manifest.layers.map(({ annotations }) => Object.keys(annotations!).sort()),
    [1, 2].map(() =>
      ['packed-toc-sizes', 'packed-toc.digest', 'toc-sizes'].map((name) => `containerd.io/snapshot/stargz/${name}`),
    ),
    'stargz has no TOC digest',
  );
  const accesses = [{ layer: stargz.layers[0]!.digest, path: 'etc/os-release' }];

  const remembered = await convert('four/src:1', 'four/out:1', { accesses, cacheDir });
  const named = await convert('four/src:1', 'four/out:2', { accesses, recordedOn: reference('four/src:stargz') });
  const plain = await convert('four/src:1', 'four/out:3', { cacheDir });
  assert.equal(named.digest, remembered.digest);
  assert.notEqual(plain.layers[0]!.digest, remembered.layers[0]!.digest);
  assert.equal(plain.layers[1]!.digest, remembered.layers[1]!.digest, 'a layer without accesses is unchanged');
  await assert.rejects(convert('four/src:1', 'four/out:4', { accesses }), { code: 'unknown-layer' });
  await assert.rejects(client.fetchManifest(reference('four/out:4'), signal), { code: 'not-found' });
});

test('zstd:chunked layers have their media type, and annotations for stargz-snapshotter and containers/storage', {
  timeout: 60_000,
}, async () => {
  await pushDockerImage(client, reference('five/src:1'), [app]);
  const { layers } = await convert('five/src:1', 'five/out:1', { format: 'zstd-chunked' });
  const [layer] = (await fetchManifest('five/out:1')).layers;
  assert.equal(layer?.mediaType, mediaTypes.ociLayerZstd);
  assert.equal(layer?.annotations?.['containerd.io/snapshot/stargz/toc.digest'], layers[0]!.tocDigest);
  const position = layer?.annotations?.['io.containers.zstd-chunked.manifest-position']?.split(':').map(Number);
  const { bytes } = await client
    .blob(reference('five/out:1'), layer!.digest)
    .fetchSuffix(layer!.size - position![0]!, signal);
  const toc = bytes.subarray(0, position![1]);
  assert.equal(layer?.annotations?.['io.containers.zstd-chunked.manifest-checksum'], digestOf(toc));
});

test('converts linux/amd64 of an index by default, or the given platform, or all', { timeout: 60_000 }, async () => {
  const entries = [];
  for (const [architecture, tar] of [
    ['arm64', other],
    ['amd64', app],
  ] as const) {
    const { digest, size } = await pushDockerImage(client, reference('six/src:1'), [base, tar], {
      architecture,
      tagged: false,
    });
    entries.push({ mediaType: mediaTypes.dockerManifest, digest, size, platform: { os: 'linux', architecture } });
  }
  const attestation = { ...entries[0]!, platform: { os: 'unknown', architecture: 'unknown' } };
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [...entries, attestation],
    annotations: { a: 'b' },
  };
  await client.pushManifest(reference('six/src:1'), mediaTypes.ociIndex, Buffer.from(JSON.stringify(index)), signal);

  const one = await convert('six/src:1', 'six/out:one', { cacheDir });
  const arm = await convert('six/src:1', 'six/out:arm', { cacheDir, platform: { os: 'linux', architecture: 'arm64' } });
  assert.notEqual(one.digest, arm.digest);
  const all = await convert('six/src:1', 'six/out:all', { cacheDir, allPlatforms: true });
  assert.equal(all.mediaType, mediaTypes.ociIndex);
  const fetched = await client.fetchManifest(reference('six/out:all'), signal);
  const parsed = parseManifest(fetched.bytes, fetched.mediaType);
  assert.equal(parsed.kind, 'index');
  const { manifests, annotations } = (parsed as Extract<typeof parsed, { kind: 'index' }>).index;
  assert.deepEqual(
    manifests.map(({ platform, digest }) => [platform?.architecture, digest]),
    [
      ['arm64', arm.digest],
      ['amd64', one.digest],
    ],
  );
  assert.deepEqual(annotations, { a: 'b' });
  const s390x = { os: 'linux', architecture: 's390x' };
  await assert.rejects(convert('six/src:1', 'six/out:none', { platform: s390x }), {
    code: 'other-platform',
    message: /no linux\/s390x image, only linux\/arm64, linux\/amd64.*--platform/,
  });
  const accesses = [{ layer: digestOf(Buffer.from('another layer')), path: 'a' }];
  const recordedOn = reference('six/src:1');
  await assert.rejects(
    convert('six/src:1', 'six/out:none', { allPlatforms: true, platform: s390x, accesses, recordedOn }),
    { code: 'other-platform', message: /six\/src:1 has no linux\/s390x image/ },
  );
});

test('a layer that occurs twice in an image is converted once', { timeout: 60_000 }, async () => {
  await pushDockerImage(client, reference('seven/src:1'), [base, app, app]);
  const phases: ConvertProgress[] = [];
  const { layers } = await convert('seven/src:1', 'seven/out:1', {
    onProgress: (progress) => void phases.push(progress),
  });
  assert.equal(layers.length, 3);
  assert.equal(layers[1]!.digest, layers[2]!.digest);
  assert.equal(phases.filter(({ phase }) => phase === 'done').length, 2);
});

test('a layer that fails aborts the others, and nothing is tagged', { timeout: 60_000 }, async () => {
  const notTar = Buffer.alloc(4096, 'no tar ');
  await pushDockerImage(client, reference('eight/src:1'), [base, notTar, app]);
  const scratch = mkdtempSync(join(tmpdir(), 'convert-failing-'));
  try {
    await assert.rejects(convert('eight/src:1', 'eight/out:1', { cacheDir: scratch }), { code: 'malformed-layer' });
    assert.deepEqual(readdirSync(scratch).toSorted(), ['inheriting', 'layers', 'origins']);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  await assert.rejects(client.fetchManifest(reference('eight/out:1'), signal), { code: 'not-found' });
});

test('an artifact that is not a container image is rejected', { timeout: 30_000 }, async () => {
  const bytes = Buffer.from('{}');
  const config = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    ...(await pushBytes(client, reference('nine/src:1'), bytes)),
  };
  const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [] };
  await client.pushManifest(
    reference('nine/src:1'),
    mediaTypes.ociManifest,
    Buffer.from(JSON.stringify(manifest)),
    signal,
  );
  await assert.rejects(convert('nine/src:1', 'nine/out:1'), {
    code: 'unsupported-image',
    message: /no container image/,
  });
});

test('the cache records the source layer of each converted layer', { timeout: 30_000 }, async () => {
  const source = await pushDockerImage(client, reference('ten/src:1'), [other]);
  const { layers } = await convert('ten/src:1', 'ten/out:1', { cacheDir });
  assert.equal(readFileSync(join(cacheDir, 'origins', layers[0]!.digest.slice(7)), 'utf8'), source.layers[0]);
});

test('directories without an entry inherit attributes from the image’s own lower layers, cached or not', {
  timeout: 60_000,
}, async () => {
  const lower = (mode: number): Buffer => rawTar({ name: 'tmp/', mode }, { name: 'tmp/old' });
  const upper = rawTar({ name: 'tmp/x', content: 'x' }, { name: 'var/.wh.old' });
  const tmpOf = async (name: string, options: Partial<RegistryOptions> = {}): Promise<[number, boolean, string]> => {
    const { layers } = await convert(`${name}/src:1`, `${name}/out:1`, { cacheDir, ...options });
    const blob = await fetchLayer(`${name}/out:1`, 1);
    const tmp = blob.entries.find((entry) => entry.name === 'tmp/');
    return [tmp?.mode ?? 0, layers[1]!.cached, layers[1]!.digest];
  };
  await pushDockerImage(client, reference('eleven/src:1'), [lower(0o1777), upper]);
  await pushDockerImage(client, reference('twelve/src:1'), [lower(0o700), upper]);
  const [mode, cached, digest] = await tmpOf('eleven');
  assert.deepEqual([mode, cached], [0o1777, false]);
  assert.deepEqual((await tmpOf('twelve')).slice(0, 2), [0o700, false], 'other lower layers give another layer');
  assert.deepEqual(await tmpOf('eleven'), [0o1777, true, digest]);
  requests.length = 0;
  assert.deepEqual(await tmpOf('eleven', { format: 'zstd-chunked' }).then(([mode]) => mode), 0o1777);
  const blob = await fetchLayer('eleven/out:1', 1);
  assert.ok(
    blob.entries.some(({ name }) => name === 'var/'),
    'a directory that no layer below has gets an entry',
  );
});

function footerOf(path: string): Footer {
  const blob = readFileSync(path);
  return parseFooter(blob.subarray(-FOOTER_MAX), blob.length)!;
}
