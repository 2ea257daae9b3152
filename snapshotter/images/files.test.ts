import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { RegistryClient } from '../registry/client.ts';
import { digestOf } from '../registry/digest.ts';
import { mediaTypes, parseManifest } from '../registry/manifest.ts';
import { encodeFile, endOfArchive } from '../tar/tar-header.ts';
import type { ImageSource, ImageTarget } from './image.ts';
import { parseLocation } from './location.ts';
import { openSource, openTarget } from './open.ts';
import { storedName } from './stored-name.ts';

const limit = { timeout: 30_000 };
const signal = AbortSignal.timeout(120_000);
const client = new RegistryClient();

/** Two layers, one of which is larger than a read. */
const layers = [pseudoRandomBytes(2_500_000, 1), gzipSync(encodeFile('a', Buffer.from('content')))];
const config = Buffer.from(
  JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: layers.map(digestOf) } }),
);
const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
    layers: layers.map((layer) => ({ mediaType: mediaTypes.ociLayer, digest: digestOf(layer), size: layer.length })),
  }),
);

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
}

async function writeImage(target: ImageTarget, image = manifest): Promise<void> {
  try {
    for (const bytes of [...layers, config]) {
      const blob = { digest: digestOf(bytes), sizeBytes: bytes.length, open: () => pieces(bytes) };
      assert.equal(await target.hasBlob(blob.digest, signal), false);
      await target.pushBlob(blob, signal);
      assert.equal(await target.hasBlob(blob.digest, signal), true);
    }
    assert.equal(await target.tag(mediaTypes.ociManifest, image, signal), digestOf(image));
  } finally {
    await target.close();
  }
}

async function readImage(source: ImageSource): Promise<Buffer[]> {
  try {
    const { bytes, mediaType, digest } = await source.fetchManifest(undefined, signal);
    assert.equal(digest, digestOf(bytes));
    const parsed = parseManifest(bytes, mediaType);
    assert.ok(parsed.kind === 'manifest');
    const blobs = [await source.readBlob(parsed.manifest.config.digest, 1 << 20, signal)];
    for (const layer of parsed.manifest.layers) {
      const read: Buffer[] = [];
      for await (const piece of source.fetchBlob(layer, signal)) read.push(Buffer.from(piece));
      blobs.push(Buffer.concat(read));
    }
    return blobs;
  } finally {
    await source.close();
  }
}

const at = (text: string) => openSource(parseLocation(text), { client }, signal);
const to = (text: string) => openTarget(parseLocation(text), { client });
const whole = [config, ...layers];

test('what is written to a layout or an archive is read back', limit, async (t) => {
  const scratch = openScratch(t, 'images');
  for (const place of [
    `oci:${scratch}/layout:1`,
    `docker-archive:${scratch}/a.tar:app:1`,
    `docker-archive:${scratch}/b`,
  ]) {
    await writeImage(await to(place));
    assert.deepEqual(await readImage(await at(place)), whole, place);
  }
  assert.deepEqual(await readImage(await at(`oci:${scratch}/layout`)), whole);
  assert.deepEqual(await readImage(await at(`docker-archive:${scratch}/a.tar`)), whole);
  assert.deepEqual(await readImage(await at(`docker-archive:${scratch}/a.tar:docker.io/library/app:1`)), whole);
  // An archive that is unpacked is a layout.
  mkdirSync(join(scratch, 'unpacked'));
  execFileSync('tar', ['-xf', join(scratch, 'a.tar'), '-C', join(scratch, 'unpacked')]);
  assert.deepEqual(await readImage(await at(`oci:${scratch}/unpacked:1`)), whole);
});

test('a layout keeps its other images, and a tag moves', limit, async (t) => {
  const scratch = openScratch(t, 'images');
  const other = Buffer.from(JSON.stringify({ ...JSON.parse(manifest.toString()), annotations: { other: 'yes' } }));
  const tagged = async (tag: string) => (await at(`oci:${scratch}:${tag}`)).fetchManifest(undefined, signal);
  await writeImage(await to(`oci:${scratch}:1`));
  const target = await to(`oci:${scratch}:2`);
  await target.tag(mediaTypes.ociManifest, other, signal);
  assert.deepEqual((await tagged('1')).bytes, manifest);
  assert.deepEqual((await tagged('2')).bytes, other);
  await assert.rejects(at(`oci:${scratch}`), { message: /name one of them; it has 1, 2/ });
  await (await to(`oci:${scratch}:1`)).tag(mediaTypes.ociManifest, Buffer.from(`${other} `), signal);
  assert.deepEqual((await tagged('1')).bytes, Buffer.from(`${other} `));
  await assert.rejects(at(`oci:${scratch}:3`), { code: 'not-found', message: /there is no "3"; it has 2, 1/ });
});

/** As Docker 24 and earlier save: a layer shared with another image is a symbolic link. */
function writeClassic(scratch: string, names: readonly string[] | null): string {
  const root = join(scratch, 'classic');
  for (const name of ['one', 'two', 'three']) mkdirSync(join(root, name), { recursive: true });
  const plain = encodeFile('a', Buffer.from('x'));
  const tars = [Buffer.concat([plain, endOfArchive]), gzipSync(plain)];
  writeFileSync(join(root, 'one/layer.tar'), tars[0]!);
  symlinkSync('../one/layer.tar', join(root, 'two/layer.tar'));
  writeFileSync(join(root, 'three/layer.tar'), tars[1]!);
  const diffIds = [tars[0]!, tars[0]!, plain].map(digestOf);
  const rootfs = { type: 'layers', diff_ids: diffIds };
  writeFileSync(join(root, 'c.json'), JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs }));
  const Layers = ['one', 'two', 'three'].map((name) => `${name}/layer.tar`);
  writeFileSync(join(root, 'manifest.json'), JSON.stringify([{ Config: 'c.json', RepoTags: names, Layers }]));
  const path = join(scratch, 'classic.tar');
  execFileSync('tar', ['-cf', path, '-C', root, '.']);
  return path;
}

test(
  'archives of older engines are read, also with links, without names and compressed as a whole',
  limit,
  async (t) => {
    const scratch = openScratch(t, 'images');
    const path = writeClassic(scratch, null);
    const [, ...read] = await readImage(await at(`docker-archive:${path}`));
    const stored = ['one', 'one', 'three'].map((name) => readFileSync(join(scratch, 'classic', name, 'layer.tar')));
    assert.deepEqual(read, stored);
    writeFileSync(`${path}.gz`, gzipSync(readFileSync(path)));
    const unpackedTo = openScratch(t, 'unpacked');
    const source = await openSource(
      parseLocation(`docker-archive:${path}.gz`),
      { client, scratch: unpackedTo },
      signal,
    );
    assert.deepEqual((await readImage(source)).slice(1), stored);
    assert.deepEqual(readdirSync(unpackedTo), []);
  },
);

test('an image is called as its layout or archive says, where that says one thing', limit, async (t) => {
  const scratch = openScratch(t, 'images');
  const nameOf = (text: string) => storedName(parseLocation(text));
  await writeImage(await to(`oci:${scratch}/layout:app`));
  assert.equal(nameOf(`oci:${scratch}/layout`), 'app');
  const target = await to(`oci:${scratch}/layout:other`);
  await target.tag(mediaTypes.ociManifest, Buffer.from(`${manifest} `), signal);
  assert.equal(nameOf(`oci:${scratch}/layout`), undefined, 'it has two images');
  assert.equal(nameOf(`oci:${scratch}/layout:other`), 'other');
  assert.equal(nameOf(`oci:${scratch}/layout:none`), undefined);

  await writeImage(await to(`docker-archive:${scratch}/a.tar:shop/app:1`));
  assert.equal(nameOf(`docker-archive:${scratch}/a.tar`), 'shop/app:1');
  assert.equal(nameOf(`docker-archive:${scratch}/a.tar:web:2`), 'web:2');
  mkdirSync(join(scratch, 'unpacked'));
  execFileSync('tar', ['-xf', join(scratch, 'a.tar'), '-C', join(scratch, 'unpacked')]);
  assert.equal(nameOf(`oci:${scratch}/unpacked:1`), 'docker.io/shop/app:1', 'the full name, not the tag');
  rmSync(join(scratch, 'unpacked/manifest.json'));
  execFileSync('tar', ['-cf', join(scratch, 'layout.tar'), '-C', join(scratch, 'unpacked'), '.']);
  assert.equal(nameOf(`docker-archive:${scratch}/layout.tar`), 'docker.io/shop/app:1');

  const classic = writeClassic(scratch, ['registry.example/web:3', 'web:latest']);
  assert.equal(nameOf(`docker-archive:${classic}`), 'registry.example/web:3');
  writeFileSync(join(scratch, 'classic.tar.gz'), gzipSync(readFileSync(classic)));
  execFileSync('mkfifo', [join(scratch, 'pipe')]);
  for (const place of [
    'oci:SCRATCH/none',
    'docker-archive:SCRATCH/classic.tar.gz',
    'docker-archive:SCRATCH/pipe',
    'redis',
  ]) {
    assert.equal(nameOf(place.replace('SCRATCH', scratch)), undefined, place);
  }
});

test('damage and absence are refused in one line', limit, async (t) => {
  const scratch = openScratch(t, 'images');
  await writeImage(await to(`oci:${scratch}/layout`));
  const blob = join(scratch, 'layout/blobs/sha256', digestOf(layers[0]!).slice(7));
  writeFileSync(blob, Buffer.concat([layers[0]!.subarray(1), Buffer.of(0)]));
  await assert.rejects(at(`oci:${scratch}/layout`).then(readImage), {
    code: 'digest-mismatch',
    message: /copy the image again/,
  });
  rmSync(blob);
  await assert.rejects(at(`oci:${scratch}/layout`).then(readImage), { code: 'not-found', message: /incomplete/ });
  await assert.rejects(at(`oci:${scratch}/none`), { code: 'not-found', message: /there is no image layout/ });

  const cases: [string, Buffer, string, RegExp][] = [
    ['text', Buffer.alloc(2000, 'no tar '), 'malformed', /in a header is not octal; save the image again/],
    ['empty', Buffer.alloc(0), 'malformed', /neither index\.json nor manifest\.json/],
    ['cut gzip', gzipSync(Buffer.alloc(5000)).subarray(0, 30), 'malformed', /gzip stream is damaged/],
    ['no list', encodeFile('manifest.json', Buffer.from('{}')), 'malformed', /manifest\.json is no list/],
    ['lost config', encodeFile('manifest.json', Buffer.from('[{"Config":"c"}]')), 'malformed', /c is missing/],
    [
      'escape',
      encodeFile('manifest.json', Buffer.from('[{"Config":"../../etc/passwd"}]')),
      'malformed',
      /passwd is missing/,
    ],
  ];
  for (const [what, bytes, code, message] of cases) {
    const path = join(scratch, what);
    writeFileSync(path, bytes);
    await assert.rejects(at(`docker-archive:${path}`), { name: 'ImageError', code, message }, what);
  }
  const named = writeClassic(scratch, ['app:1']);
  await assert.rejects(at(`docker-archive:${named}:app:2`), { message: /there is no "app:2"; it has app:1/ });
});

test('a target that is not tagged leaves no file, and wrong bytes do not enter', limit, async (t) => {
  const scratch = openScratch(t, 'images');
  const wrong = { digest: digestOf('other'), sizeBytes: config.length, open: () => pieces(config) };
  const archive = await to(`docker-archive:${scratch}/a.tar`);
  await archive.pushBlob({ ...wrong, digest: digestOf(config) }, signal);
  await assert.rejects(archive.pushBlob(wrong, signal), { code: 'digest-mismatch' });
  await archive.close();
  assert.deepEqual(readdirSync(scratch), []);
  const layout = await to(`oci:${scratch}/layout`);
  await assert.rejects(layout.pushBlob(wrong, signal), { code: 'digest-mismatch' });
  assert.deepEqual(readdirSync(join(scratch, 'layout/blobs/sha256')), []);
});
