import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { RegistryClient } from './client.ts';
import { digestOf } from './digest.ts';
import { mediaTypes, parseManifest } from './manifest.ts';
import { parseReference } from './reference.ts';
import type { RequestReport } from './transport.ts';

const limit = { timeout: 20_000 };

async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

function pattern(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  for (let index = 0; index < sizeBytes; index++) bytes[index] = (index * 2654435761) >>> 13;
  return bytes;
}

async function* inPieces(bytes: Buffer, sizeBytes = 65_536): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += sizeBytes) yield bytes.subarray(offset, offset + sizeBytes);
}

describe('a client of a plain registry', () => {
  const suite = suiteLifetime();
  let registry: TestRegistry;
  let client: RegistryClient;
  const reports: RequestReport[] = [];
  const signal = new AbortController().signal;
  const content = pattern(3_000_000);
  const digest = digestOf(content);

  before(async () => {
    registry = await startRegistry(suite);
    client = new RegistryClient({ onRequest: (report) => void reports.push(report) });
    const reference = parseReference(`${registry.host}/a/source:1`);
    await client.pushBlob(reference, { digest, sizeBytes: content.length, open: () => inPieces(content) }, signal);
  });
  after(() => client?.close());

  it('reads a suffix with exactly one GET', limit, async () => {
    const fresh = new RegistryClient({ onRequest: (report) => void seen.push(report) });
    const seen: RequestReport[] = [];
    try {
      const source = fresh.blob(parseReference(`${registry.host}/a/source`), digest);
      const suffix = await source.fetchSuffix(1000, signal);
      assert.deepEqual(suffix.bytes, content.subarray(-1000));
      assert.equal(suffix.offset, content.length - 1000);
      assert.equal(suffix.blobSizeBytes, content.length);
    } finally {
      await fresh.close();
    }
    assert.deepEqual(
      seen.map(({ headMs, durationMs, ...report }) => report),
      [
        {
          kind: 'blob',
          method: 'GET',
          path: `/v2/a/source/blobs/${digest}`,
          range: 'bytes=-1000',
          error: undefined,
          status: 206,
          attempt: 1,
          bytes: 1000,
          host: registry.host,
        },
      ],
    );
  });

  it('reads a suffix longer than the blob, ranges, an empty range, and the whole blob', limit, async () => {
    const reference = parseReference(`${registry.host}/a/source`);
    const source = client.blob(reference, digest);
    const suffix = await source.fetchSuffix(content.length + 5, signal);
    assert.equal(suffix.offset, 0);
    assert.ok(suffix.bytes.equals(content));
    for (const [start, end] of [
      [0, 1],
      [17, 1_000_017],
      [content.length - 1, content.length],
      [0, content.length],
      [5, 5],
    ] as const) {
      assert.ok((await collect(source.fetchRange(start, end, signal))).equals(content.subarray(start, end)));
    }
    assert.ok((await collect(client.fetchBlob(reference, digest, signal))).equals(content));
  });

  it('refuses a range beyond the blob', limit, async () => {
    const source = client.blob(parseReference(`${registry.host}/a/source`), digest);
    const past = collect(source.fetchRange(content.length, content.length + 10, signal));
    await assert.rejects(past, { name: 'RegistryError', code: 'bad-range' });
    const over = collect(source.fetchRange(content.length - 5, content.length + 10, signal));
    await assert.rejects(over, { name: 'RegistryError', code: 'bad-range' });
  });

  it('names the missing blob and its repository', limit, async () => {
    const missing = digestOf('nothing of the kind');
    const source = client.blob(parseReference(`${registry.host}/a/source`), missing);
    await assert.rejects(source.fetchSuffix(10, signal), (error: Error & { code: string; status: number }) => {
      assert.equal(error.code, 'not-found');
      assert.equal(error.status, 404);
      assert.match(error.message, new RegExp(`^fetch blob ${missing} of ${registry.host}/a/source .*BLOB_UNKNOWN`));
      return true;
    });
    const manifest = client.fetchManifest(parseReference(`${registry.host}/no/such:tag`), signal);
    await assert.rejects(manifest, { code: 'not-found' });
  });

  it('mounts a blob across repositories, and reports if it cannot', limit, async () => {
    const target = parseReference(`${registry.host}/b/target`);
    assert.equal(await client.hasBlob(target, digest, signal), false);
    assert.equal(await client.mountBlob(target, digest, 'a/source', signal), true);
    assert.equal(await client.hasBlob(target, digest, signal), true);
    assert.equal(await client.mountBlob(target, digestOf('absent'), 'a/source', signal), false);
  });

  it('refuses to push content with another digest', limit, async () => {
    const wrong = { digest: digestOf('else'), sizeBytes: 4, open: () => inPieces(Buffer.from('this')) };
    const pushed = client.pushBlob(parseReference(`${registry.host}/e/target`), wrong, signal);
    await assert.rejects(pushed, { code: 'refused', status: 400 });
  });

  it('puts and gets manifests by tag and by digest, OCI and Docker', limit, async () => {
    const config = Buffer.from('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}');
    for (const [mediaType, configType, layerType] of [
      [mediaTypes.ociManifest, mediaTypes.ociConfig, mediaTypes.ociLayerGzip],
      [mediaTypes.dockerManifest, mediaTypes.dockerConfig, mediaTypes.dockerLayerGzip],
    ] as const) {
      const reference = parseReference(`${registry.host}/a/source:${configType.includes('oci') ? 'oci' : 'docker'}`);
      const upload = { digest: digestOf(config), sizeBytes: config.length, open: () => inPieces(config) };
      await client.pushBlob(reference, upload, signal);
      const manifest = Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType,
          config: { mediaType: configType, digest: digestOf(config), size: config.length },
          layers: [{ mediaType: layerType, digest, size: content.length }],
        }),
      );
      assert.equal(await client.pushManifest(reference, mediaType, manifest, signal), digestOf(manifest));
      const byTag = await client.fetchManifest(reference, signal);
      assert.deepEqual(byTag, { digest: digestOf(manifest), mediaType, bytes: manifest });
      const byDigest = await client.fetchManifest({ ...reference, digest: byTag.digest }, signal);
      assert.deepEqual(byDigest, byTag);
      const parsed = parseManifest(byTag.bytes, byTag.mediaType);
      assert.ok(parsed.kind === 'manifest' && parsed.manifest.layers[0]!.digest === digest);
    }
  });

  it('stops at once when its caller aborts', limit, async () => {
    const controller = new AbortController();
    const source = client.blob(parseReference(`${registry.host}/a/source`), digest);
    const reason = new Error('enough');
    const reading = (async () => {
      for await (const _chunk of source.fetchRange(0, content.length, controller.signal)) controller.abort(reason);
    })();
    await assert.rejects(reading, reason);
    await assert.rejects(source.fetchSuffix(10, controller.signal), reason);
  });

  it('reports each request with its kind, status and bytes', limit, () => {
    assert.ok(reports.some(({ kind, status }) => kind === 'upload' && status === 201));
    assert.ok(reports.some(({ kind, status }) => kind === 'manifest' && status === 200));
    assert.ok(reports.every(({ durationMs, attempt }) => durationMs >= 0 && attempt === 1));
  });
});
