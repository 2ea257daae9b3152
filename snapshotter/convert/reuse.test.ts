import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { HOT_RANGES_LABEL, TOC_DIGEST_LABEL } from '../estargz/names.ts';
import type { ImageSource } from '../images/image.ts';
import { parseLocation } from '../images/location.ts';
import { openSource, openTarget } from '../images/open.ts';
import { writeLayoutImage } from '../images/testing/layout-image.ts';
import { RegistryClient } from '../registry/client.ts';
import type { Digest } from '../registry/digest.ts';
import { mediaTypes, parseManifest } from '../registry/manifest.ts';
import { convertFrom, type ImageOptions } from './image.ts';
import { packTree } from './testing/source-tree.ts';

const limit = { timeout: 60_000 };
const signal = AbortSignal.timeout(240_000);
const client = new RegistryClient();
const suite = suiteLifetime();
let scratch: string;
let source: ImageSource;
let layers: Digest[];

before(async () => {
  scratch = openScratch(suite, 'reuse');
  const files = Array.from({ length: 200 }, (_, index) => {
    return { kind: 'file', path: `d/${index}`, content: pseudoRandomBytes(100 * index, index) } as const;
  });
  const big = { kind: 'file', path: 'big', content: numbers(300_000) } as const;
  const tars = [
    packTree([...files, big]),
    packTree([{ kind: 'file', path: 'top', content: pseudoRandomBytes(9000, 1) }]),
  ];
  layers = await writeLayoutImage(join(scratch, 'source'), tars);
  source = await openSource(parseLocation(`oci:${scratch}/source`), { client }, signal);
});

/** Text that levels compress differently. */
function numbers(count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, index) => (index * 48_271) % 65_537).join('\n'));
}

let targets = 0;

async function convert(from: ImageSource, options: Partial<ImageOptions>) {
  const location = parseLocation(`oci:${scratch}/out${targets++}`);
  const target = await openTarget(location, { client });
  const image = await convertFrom(from, target, { format: 'estargz', ...options, signal });
  const written = await openSource(location, { client }, signal);
  const { bytes } = await written.fetchManifest(undefined, signal);
  const parsed = parseManifest(bytes, mediaTypes.ociManifest);
  assert.ok(parsed.kind === 'manifest');
  return { ...image, written, manifest: parsed.manifest };
}

test('the bytes depend neither on the run nor on the parallelism', limit, async () => {
  const accesses = [{ layer: layers[0]!, path: 'd/7' }];
  for (const format of ['estargz', 'zstd-chunked', 'stargz'] as const) {
    const recorded = format === 'stargz' ? {} : { accesses };
    const digests = new Set<string>();
    for (const parallelism of [undefined, undefined, 1, 3]) {
      const bounded = parallelism === undefined ? {} : { parallelism };
      digests.add((await convert(source, { format, chunkSizeBytes: 65_536, ...recorded, ...bounded })).digest);
    }
    assert.equal(digests.size, 1, format);
  }
  await assert.rejects(convert(source, { parallelism: 0 }), { code: 'invalid-option', message: /parallelism 0/ });
});

test('layers in the format are kept byte for byte, with their lists; others are converted', limit, async () => {
  for (const format of ['estargz', 'zstd-chunked', 'stargz'] as const) {
    const recorded = format === 'stargz' ? {} : { accesses: [{ layer: layers[1]!, path: 'top' }] };
    const first = await convert(source, { format, ...recorded });
    // Another level would change every byte of what is written again.
    const again = await convert(first.written, { format, level: 1, reuse: true });
    assert.deepEqual(
      again.layers.map(({ reused }) => reused),
      [true, true],
    );
    assert.equal(again.digest, first.digest);
    const rewritten = await convert(first.written, { format, level: 1 });
    assert.notEqual(rewritten.layers[0]!.digest, first.layers[0]!.digest, format);
  }
  const plain = await convert(source, { reuse: true });
  assert.deepEqual(
    plain.layers.map(({ reused }) => reused),
    [false, false],
  );
  const other = await convert(plain.written, { format: 'zstd-chunked', reuse: true });
  assert.deepEqual(
    other.layers.map(({ reused }) => reused),
    [false, false],
  );
});

test('a layer of which a record speaks is converted, and the lists of the others are dropped', limit, async () => {
  const recorded = await convert(source, { accesses: [{ layer: layers[1]!, path: 'top' }] });
  const [lowest, top] = recorded.layers;
  assert.ok(recorded.manifest.layers[1]!.annotations?.[HOT_RANGES_LABEL]);
  const accesses = [{ layer: lowest!.digest, path: 'd/7' }];
  const again = await convert(recorded.written, { reuse: true, accesses });
  assert.deepEqual(
    again.layers.map(({ reused }) => reused),
    [false, true],
  );
  assert.equal(again.layers[1]!.digest, top!.digest);
  assert.equal(again.manifest.layers[1]!.annotations?.[HOT_RANGES_LABEL], undefined);
  assert.ok(again.manifest.layers[0]!.annotations?.[HOT_RANGES_LABEL]);
});

test('a layer that is not what the manifest says is not kept', limit, async () => {
  const { written, manifest } = await convert(source, {});
  const [lowest, top] = manifest.layers;
  const annotations = { ...lowest!.annotations, [TOC_DIGEST_LABEL]: top!.annotations![TOC_DIGEST_LABEL]! };
  const bytes = Buffer.from(JSON.stringify({ ...manifest, layers: [{ ...lowest, annotations }, top] }));
  const lying: ImageSource = {
    ...written,
    fetchManifest: async (digest, at) => ({ ...(await written.fetchManifest(digest, at)), bytes }),
  };
  await assert.rejects(convert(lying, { reuse: true }), { code: 'malformed-layer', message: /its TOC is sha256:/ });
});
