import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { digestOf } from './digest.ts';
import { type ImageIndex, mediaTypes, parseImageConfig, parseManifest, pickPlatform } from './manifest.ts';

const digest = digestOf('x');
const layer = { mediaType: mediaTypes.ociLayerGzip, digest, size: 3 };
const config = { mediaType: mediaTypes.ociConfig, digest, size: 3 };
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe('a manifest', () => {
  it('prefers its own media type to that of the response', () => {
    const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] };
    assert.equal(parseManifest(bytes(manifest), mediaTypes.dockerManifestList).kind, 'manifest');
    const index = { schemaVersion: 2, manifests: [layer] };
    assert.equal(parseManifest(bytes(index), mediaTypes.ociIndex).kind, 'index');
    assert.equal(parseManifest(bytes(index), 'application/json').kind, 'index');
  });

  const refusals: readonly [what: string, value: unknown][] = [
    ['not an object', []],
    ['schema version', { schemaVersion: 1 }],
    ['config', { schemaVersion: 2, layers: [] }],
    ['layers', { schemaVersion: 2, config, layers: {} }],
    ['digest', { schemaVersion: 2, config, layers: [{ ...layer, digest: '../../etc/passwd' }] }],
    ['size', { schemaVersion: 2, config, layers: [{ ...layer, size: -1 }] }],
    ['urls', { schemaVersion: 2, config, layers: [{ ...layer, urls: [7] }] }],
    ['layers', { schemaVersion: 2, config, layers: [null] }],
    ['entries', { schemaVersion: 2, config, layers: Array.from({ length: 10_001 }, () => layer) }],
  ];
  for (const [what, value] of refusals) {
    it(`is refused for its ${what}`, () => {
      const parse = () => parseManifest(bytes(value), mediaTypes.ociManifest);
      assert.throws(parse, { code: 'protocol', message: new RegExp(what) });
    });
  }

  it('is refused when it is not JSON', () => {
    assert.throws(() => parseManifest(Buffer.from('{'), mediaTypes.ociManifest), { code: 'protocol' });
    assert.throws(() => parseManifest(Buffer.from([0xff]), mediaTypes.ociManifest), { code: 'protocol' });
  });
});

describe('an image config', () => {
  it('lists its layers', () => {
    const value = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digest] } };
    assert.deepEqual(parseImageConfig(bytes(value)).rootfs.diff_ids, [digest]);
    assert.throws(() => parseImageConfig(bytes({ rootfs: { diff_ids: ['x'] } })), { code: 'protocol' });
  });
});

describe('an index', () => {
  const entry = (os: string, architecture: string, variant?: string) => ({
    ...config,
    size: Math.floor(os.length + architecture.length * 100 + (variant?.length ?? 0) * 10_000),
    platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
  });
  const index: ImageIndex = {
    schemaVersion: 2,
    manifests: [
      entry('unknown', 'unknown'),
      entry('linux', 'arm', 'v7'),
      entry('linux', 'arm64', 'v8'),
      entry('linux', 'amd64'),
    ],
  };

  it('yields the manifest of a platform, with its variant, or none', () => {
    const pick = (os: string, architecture: string, variant?: string) =>
      pickPlatform(index, { os, architecture, ...(variant === undefined ? {} : { variant }) })?.platform;
    assert.deepEqual(pick('linux', 'amd64'), { os: 'linux', architecture: 'amd64' });
    assert.deepEqual(pick('linux', 'amd64', 'v3'), { os: 'linux', architecture: 'amd64' });
    assert.equal(pick('linux', 'arm64')?.variant, 'v8');
    assert.equal(pick('linux', 'arm', 'v7')?.variant, 'v7');
    assert.equal(pick('linux', 'arm', 'v6'), undefined);
    assert.equal(pick('windows', 'amd64'), undefined);
  });

  it('yields its only manifest if that names no platform', () => {
    assert.equal(pickPlatform({ schemaVersion: 2, manifests: [config] })?.digest, digest);
  });

  it('never yields an attestation, even one that names no platform', () => {
    const attestation = { ...config, annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } };
    assert.equal(pickPlatform({ schemaVersion: 2, manifests: [attestation] }), undefined);
    assert.equal(pickPlatform({ schemaVersion: 2, manifests: [attestation, config] }), config);
  });
});

it('reads lists that Go wrote as null as empty', { timeout: 10_000 }, () => {
  const config = { mediaType: mediaTypes.ociConfig, digest, size: 2 };
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: null }));
  const parsed = parseManifest(bytes, mediaTypes.ociManifest);
  assert.deepEqual(parsed.kind === 'manifest' && parsed.manifest.layers, []);
  const image = Buffer.from('{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":null}}');
  assert.deepEqual(parseImageConfig(image).rootfs, { type: 'layers', diff_ids: [] });
});
