/** Sources other than a single image whose layers its registry has: indexes, artifacts, foreign layers. */
import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { RegistryClient } from '../registry/client.ts';
import { digestOf } from '../registry/digest.ts';
import { type Descriptor, type ImageIndex, mediaTypes, parseManifest } from '../registry/manifest.ts';
import { parseReference, type Reference } from '../registry/reference.ts';
import { convertImage, type RegistryOptions } from './image.ts';
import { pushBytes, pushDockerImage } from './testing/image.ts';
import { rawTar } from './testing/raw-tar.ts';

const tar = (name: string): Buffer => rawTar({ name, content: `content of ${name}` });
const signal = AbortSignal.timeout(120_000);
const requests: string[] = [];
const client = new RegistryClient({ onRequest: ({ method, path }) => void requests.push(`${method} ${path}`) });
const suite = suiteLifetime();
let registry: TestRegistry;

before(async () => {
  registry = await startRegistry(suite);
});
after(() => client.close());

function reference(name: string): Reference {
  return parseReference(`${registry.host}/${name}`);
}

async function convert(name: string, options: Partial<RegistryOptions> = {}) {
  const notices: string[] = [];
  const image = await convertImage(client, reference(`${name}/src:1`), reference(`${name}/out:1`), {
    format: 'estargz',
    signal,
    onNotice: (line) => {
      const pushed = requests.filter((request) => /^(POST|PUT|PATCH) .*\/out\//.test(request));
      assert.deepEqual(pushed, [], 'notices come before the first push');
      notices.push(line);
    },
    ...options,
  });
  return { image, notices };
}

async function pushImage(name: string, architecture: string, ...layers: Buffer[]): Promise<Descriptor> {
  const pushed = await pushDockerImage(client, reference(`${name}/src:1`), layers, { architecture, tagged: false });
  return { mediaType: mediaTypes.dockerManifest, digest: pushed.digest, size: pushed.size };
}

async function pushJson(name: string, mediaType: string, value: object, tag?: string): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...value }));
  const digest = digestOf(bytes);
  const { registry: host, repository } = reference(`${name}/src:1`);
  const target = tag === undefined ? { registry: host, repository, digest } : reference(`${name}/src:${tag}`);
  await client.pushManifest(target, mediaType, bytes, signal);
  return { mediaType, digest, size: bytes.length };
}

/** Pushes an OCI manifest that is not a container image's: its config or its layer has another media type. */
async function pushArtifact(name: string, configType: string, layerType: string): Promise<Descriptor> {
  const at = reference(`${name}/src:1`);
  const config = { mediaType: configType, ...(await pushBytes(client, at, Buffer.from('{}'))) };
  const layers = [{ mediaType: layerType, ...(await pushBytes(client, at, Buffer.from('layer'))) }];
  return pushJson(name, mediaTypes.ociManifest, { config, layers });
}

async function pushIndex(name: string, manifests: readonly Descriptor[]): Promise<void> {
  await pushJson(name, mediaTypes.ociIndex, { manifests }, '1');
  requests.length = 0;
}

async function fetchIndex(at: Reference): Promise<ImageIndex> {
  const { bytes, mediaType } = await client.fetchManifest(at, signal);
  const parsed = parseManifest(bytes, mediaType);
  assert.ok(parsed.kind === 'index');
  return parsed.index;
}

const linux = (architecture: string) => ({ platform: { os: 'linux', architecture } });

test('images that have no platform in their index are selected by their config, or as the only image', {
  timeout: 60_000,
}, async () => {
  const amd = await pushImage('none', 'amd64', tar('amd'));
  const arm = await pushImage('none', 'arm64', tar('arm'));
  const attestation = { ...(await pushArtifact('none', mediaTypes.ociConfig, 'application/vnd.in-toto+json')) };
  const marked = { ...attestation, annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } };
  await pushIndex('none', [arm, amd, attestation, marked]);
  const first = (await convert('none')).image;
  assert.equal(first.layers.length, 1);
  const second = (await convert('none', { platform: { os: 'linux', architecture: 'arm64' } })).image;
  assert.notEqual(first.digest, second.digest);
  const s390x = { os: 'linux', architecture: 's390x' };
  await assert.rejects(convert('none', { platform: s390x }), {
    code: 'other-platform',
    message: /no linux\/s390x image, only linux\/arm64, linux\/amd64/,
  });
  await pushIndex('none', [marked, arm]);
  assert.equal((await convert('none')).image.digest, second.digest, 'the only image is selected');
});

test('converts all images of an index and of its nested index, and reports the attestations and artifacts left out', {
  timeout: 60_000,
}, async () => {
  const amd = { ...(await pushImage('all', 'amd64', tar('base'), tar('amd'))), ...linux('amd64') };
  const arm = { ...(await pushImage('all', 'arm64', tar('base'), tar('arm'))), ...linux('arm64') };
  const bare = await pushImage('all', 'riscv64', tar('riscv'));
  const inner = await pushJson('all', mediaTypes.ociIndex, { manifests: [arm], annotations: { inner: 'kept' } });
  const chart = await pushArtifact('all', 'application/vnd.cncf.helm.config.v1+json', mediaTypes.ociLayerGzip);
  const odd = await pushArtifact('all', mediaTypes.ociConfig, 'application/vnd.in-toto+json');
  const secret = await pushArtifact('all', mediaTypes.ociConfig, `${mediaTypes.ociLayerGzip}+encrypted`);
  const attestation = { ...odd, platform: { os: 'unknown', architecture: 'unknown' } };
  const charts = await pushJson('all', mediaTypes.ociIndex, { manifests: [chart] });
  await pushIndex('all', [amd, chart, inner, charts, attestation, bare, odd, secret]);
  const { image, notices } = await convert('all', { allPlatforms: true });

  const index = await fetchIndex(reference('all/out:1'));
  assert.deepEqual(
    index.manifests.map(({ mediaType, platform }) => [mediaType, platform?.architecture]),
    [
      [mediaTypes.ociManifest, 'amd64'],
      [mediaTypes.ociIndex, undefined],
      [mediaTypes.ociManifest, undefined],
    ],
  );
  const { registry: host, repository } = reference('all/out:1');
  const kept = await fetchIndex({ registry: host, repository, digest: index.manifests[1]!.digest });
  assert.deepEqual([kept.manifests[0]!.platform, kept.annotations], [arm.platform, { inner: 'kept' }]);
  assert.equal(image.layers.length, 5);
  assert.deepEqual(
    notices.map((line) => line.replace(/sha256:[0-9a-f]{64}/g, 'DIGEST')),
    [
      'left out DIGEST: its config is application/vnd.cncf.helm.config.v1+json, so it is no container image',
      'left out DIGEST: its config is application/vnd.cncf.helm.config.v1+json, so it is no container image',
      'left out DIGEST: an index without an image that can be converted',
      'left out DIGEST (unknown/unknown): an attestation of an image that is converted',
      'left out DIGEST: its layer DIGEST is application/vnd.in-toto+json, no tar that can be read',
      `left out DIGEST: its layer DIGEST is ${mediaTypes.ociLayerGzip}+encrypted, no tar that can be read`,
    ],
  );
});

test('an index that cannot be converted as a whole is rejected before the first push', {
  timeout: 60_000,
}, async () => {
  const good = { ...(await pushImage('bad', 'amd64', tar('amd'))), ...linux('amd64') };
  const gone = { ...good, digest: digestOf('gone'), ...linux('arm64') };
  const pushes = (): string[] => requests.filter((request) => /^(POST|PUT|PATCH)/.test(request));
  // The registry rejects an index with missing manifests. This manifest exists, but has more layers than DiffIDs.
  const manifest = await client.fetchManifest({ ...reference('bad/src:1'), digest: good.digest }, signal);
  const { config, layers } = JSON.parse(manifest.bytes.toString()) as { config: Descriptor; layers: Descriptor[] };
  const broken = await pushJson('bad', mediaTypes.dockerManifest, { config, layers: [...layers, ...layers] });
  await pushIndex('bad', [good, { ...broken, ...linux('arm64') }]);
  await assert.rejects(convert('bad', { allPlatforms: true }), { message: /names 1 layers, its manifest 2/ });
  assert.deepEqual(pushes(), []);
  const accesses = [{ layer: gone.digest, path: 'a' }];
  await pushIndex('bad', [good]);
  await assert.rejects(convert('bad', { allPlatforms: true, accesses }), { code: 'unknown-layer' });
  assert.deepEqual(pushes(), []);
});

test('an access record of one platform reorders the files of its image and leaves other platforms unchanged', {
  timeout: 60_000,
}, async () => {
  const amd = { ...(await pushImage('record', 'amd64', tar('amd'))), ...linux('amd64') };
  const arm = { ...(await pushImage('record', 'arm64', tar('arm'))), ...linux('arm64') };
  await pushIndex('record', [arm, amd]);
  const plain = (await convert('record', { allPlatforms: true })).image;
  const accesses = [{ layer: plain.layers[1]!.source, path: 'amd' }];
  const { layers } = (await convert('record', { allPlatforms: true, accesses })).image;
  assert.equal(layers[0]!.digest, plain.layers[0]!.digest);
  assert.notEqual(layers[1]!.digest, plain.layers[1]!.digest);
});

test('a foreign layer is fetched from its descriptor’s URLs without credentials, and its digest is verified', {
  timeout: 60_000,
}, async () => {
  const foreign = tar('foreign');
  const asked: (string | undefined)[] = [];
  let served = foreign;
  const web = await serve((request, response) => {
    asked.push(request.headers.authorization);
    response.end(served);
  });
  const diffId = digestOf(foreign);
  const config = Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [diffId] } }),
  );
  const layer = {
    mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    digest: diffId,
    size: foreign.length,
    urls: ['ftp://nowhere.test/layer', `http://${web.host}/layer`],
  };
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.dockerManifest,
    config: { mediaType: mediaTypes.dockerConfig, digest: digestOf(config), size: config.length },
    layers: [layer],
  });
  // Docker's registry rejects manifests with URLs. This server has everything but the layer, and requires a password.
  const source = await serve(({ headers, url }, response) => {
    const body = url?.endsWith('/manifests/1') ? manifest : url?.endsWith(digestOf(config)) ? config : undefined;
    response.setHeader('content-type', mediaTypes.dockerManifest).setHeader('www-authenticate', 'Basic realm="test"');
    response.writeHead(headers.authorization === undefined ? 401 : body === undefined ? 404 : 200).end(body);
  });
  const keychain = { name: 'test', lookup: async () => [{ kind: 'basic', username: 'me', password: 'p' } as const] };
  const withPassword = new RegistryClient({ keychains: [keychain] });
  const convertTo = (target: string) =>
    convertImage(withPassword, parseReference(`${source.host}/urls/src:1`), reference(target), {
      format: 'estargz',
      signal,
    });
  try {
    await convertTo('urls/out:1');
    const { bytes, mediaType } = await client.fetchManifest(reference('urls/out:1'), signal);
    const parsed = parseManifest(bytes, mediaType);
    assert.ok(parsed.kind === 'manifest');
    const [converted] = parsed.manifest.layers;
    assert.deepEqual([converted!.mediaType, converted!.urls], [mediaTypes.ociLayerGzip, undefined]);
    assert.deepEqual(asked, [undefined]);
    served = tar('something else');
    await assert.rejects(convertTo('urls/out:2'), { code: 'digest-mismatch' });
  } finally {
    await withPassword.close();
    await source.close();
    await web.close();
  }
});

async function serve(listener: RequestListener): Promise<{ host: string; close(): Promise<void> }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
