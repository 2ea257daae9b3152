/**
 * Interoperability in both directions with Debian's stargz-snapshotter (ctr-remote) and containerd, which need root: they
 * read this converter's layers, and this project's reader reads theirs.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startContainerd, type TestContainerd } from '../../testkit/containerd.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { RegistryClient } from '../registry/client.ts';
import type { Digest } from '../registry/digest.ts';
import { parseManifest } from '../registry/manifest.ts';
import { parseReference } from '../registry/reference.ts';
import type { AccessRecord } from './accesses.ts';
import { convertImage, type ImageOptions } from './image.ts';
import type { LayerFormat } from './layer.ts';
import { pushDockerImage } from './testing/image.ts';
import { type JsonEntry, openLazyBlob } from './testing/lazy-blob.ts';
import { packTree, type SourceNode } from './testing/source-tree.ts';

const layerTrees: SourceNode[][] = [
  [
    {
      kind: 'file',
      path: 'bin/big',
      content: Buffer.from(Uint32Array.from({ length: 1_500_000 }, (_, i) => i * i).buffer),
    },
    { kind: 'file', path: 'bin/sh', content: Buffer.alloc(30_000, 'sh '), mode: 0o4755 },
    { kind: 'hardlink', path: 'bin/dash', target: 'bin/sh' },
    { kind: 'file', path: 'etc/ünïcode', content: Buffer.from('name') },
    { kind: 'file', path: 'etc/empty', content: Buffer.alloc(0) },
    { kind: 'symlink', path: 'lib', target: 'usr/lib' },
    { kind: 'fifo', path: 'run/pipe' },
  ],
  [
    { kind: 'file', path: 'etc/.wh.empty', content: Buffer.alloc(0) },
    { kind: 'file', path: 'opt/app', content: Buffer.alloc(1000, 'app') },
  ],
];

const signal = AbortSignal.timeout(240_000);
const client = new RegistryClient();
const suite = suiteLifetime();
let registry: TestRegistry;
let containerd: TestContainerd;
let scratch: string;
let sourceName: string;
/** Parts of one file. */
let accesses: AccessRecord[];

before(async () => {
  scratch = openScratch(suite, 'interop');
  registry = await startRegistry(suite);
  containerd = await startContainerd(suite, join(scratch, 'containerd'));
  sourceName = `${registry.host}/interop/src:1`;
  const tars = layerTrees.map((tree) => packTree(tree, { extraArguments: ['--owner=jo:1000', '--group=users:100'] }));
  const { layers } = await pushDockerImage(client, parseReference(sourceName), tars);
  accesses = [4_000_000, 1_000_000].map((start) => {
    return { layer: layers[0]!, path: 'bin/big', range: { start, end: start + 100_000 } };
  });
});
after(() => client.close());

async function pull(name: string): Promise<void> {
  await containerd.command('ctr', ['images', 'pull', '--plain-http', '--snapshotter', 'native', name]);
}

async function convert(
  format: LayerFormat,
  options: Pick<ImageOptions, 'accesses'> = {},
): Promise<{ name: string; image: Awaited<ReturnType<typeof convertImage>> }> {
  const name = `${registry.host}/interop/out:${format}`;
  const image = await convertImage(client, parseReference(sourceName), parseReference(name), {
    ...options,
    format,
    signal,
  });
  await pull(name);
  return { name, image };
}

interface FetchedLayer {
  readonly digest: Digest;
  readonly tocDigest: string | undefined;
  readonly path: string;
}

async function fetchLayers(name: string): Promise<FetchedLayer[]> {
  const reference = parseReference(name);
  const { bytes, mediaType } = await client.fetchManifest(reference, signal);
  const parsed = parseManifest(bytes, mediaType);
  assert.ok(parsed.kind === 'manifest');
  return Promise.all(
    parsed.manifest.layers.map(async ({ digest, annotations }) => {
      const path = join(scratch, digest);
      await writeFile(path, client.fetchBlob(reference, digest, signal));
      return { digest, path, tocDigest: annotations?.['containerd.io/snapshot/stargz/toc.digest'] };
    }),
  );
}

const ownNames = /^\.\/(\.prefetch\.landmark|\.no\.prefetch\.landmark|stargz\.index\.json)$/;

/** Everything that a container of the image sees below its root, whose mtime is the time of unpacking. */
async function unpackedTree(name: string): Promise<string[]> {
  const target = mkdtempSync(join(scratch, 'rootfs-'));
  await containerd.command('ctr', ['images', 'mount', '--snapshotter', 'native', name, target]);
  try {
    const format = '%p %y %m %U:%G %s %T@ %l\\n';
    const list = execFileSync('find', ['.', '-mindepth', '1', '-printf', format], { cwd: target, encoding: 'utf8' })
      .trim()
      .split('\n');
    const sums = execFileSync('find', ['.', '-type', 'f', '-exec', 'sha256sum', '{}', ';'], {
      cwd: target,
      encoding: 'utf8',
    });
    const isOwn = (path: string | undefined): boolean => path !== undefined && ownNames.test(path);
    return [
      ...list.filter((line) => !isOwn(line.split(' ')[0])),
      ...sums
        .trim()
        .split('\n')
        .filter((line) => !isOwn(line.split('  ')[1])),
    ].toSorted();
  } finally {
    await containerd.command('ctr', ['images', 'unmount', '--rm', '--snapshotter', 'native', target]);
  }
}

for (const format of ['estargz', 'zstd-chunked'] as const) {
  test(`ctr-remote agrees on the TOC digest of every ${format} layer`, { timeout: 120_000 }, async () => {
    const { name, image } = await convert(format, { accesses });
    const { entries } = openLazyBlob((await fetchLayers(name))[0]!.path);
    const chunks = entries.filter((entry) => entry.name === 'bin/big').map(({ chunkOffset = 0 }) => chunkOffset);
    assert.deepEqual(chunks, [0, 999_424, 1_101_824, 3_997_696, 4_100_096]);
    const flags = format === 'zstd-chunked' ? ['--zstdchunked'] : [];
    for (const { digest, tocDigest } of image.layers) {
      const theirs = await containerd.command('ctr-remote', ['images', 'get-toc-digest', ...flags, digest]);
      assert.equal(theirs.trim(), tocDigest);
    }
  });
}

test('containerd unpacks every format to the same tree as the source', { timeout: 120_000 }, async () => {
  await pull(sourceName);
  const expected = await unpackedTree(sourceName);
  for (const format of ['stargz', 'estargz', 'zstd-chunked'] as const) {
    for (const options of [{}, { accesses }]) {
      const { name } = await convert(format, options);
      assert.deepEqual(await unpackedTree(name), expected, format);
    }
  }
});

test('the TOC of ctr-remote’s own conversion has the same metadata for every file', { timeout: 120_000 }, async () => {
  await pull(sourceName);
  const theirsName = `${registry.host}/interop/theirs:1`;
  const optimize = ['images', 'optimize', '--oci', '--no-optimize', sourceName, theirsName];
  await containerd.command('ctr-remote', optimize);
  await containerd.command('ctr', ['images', 'push', '--plain-http', theirsName]);
  const { name, image } = await convert('estargz');
  const theirLayers = await fetchLayers(theirsName);
  const ourLayers = await fetchLayers(name);
  assert.deepEqual(
    ourLayers.map(({ digest }) => digest),
    image.layers.map(({ digest }) => digest),
  );
  for (const [index, theirs] of theirLayers.entries()) {
    const theirBlob = openLazyBlob(theirs.path);
    const ourBlob = openLazyBlob(ourLayers[index]!.path);
    assert.equal(theirBlob.tocDigest, theirs.tocDigest);
    assert.equal(ourBlob.tocDigest, ourLayers[index]!.tocDigest);
    assert.deepEqual(comparable(ourBlob.entries), comparable(theirBlob.entries));
    for (const node of layerTrees[index]!) {
      if (node.kind === 'file') assert.deepEqual(theirBlob.read(node.path), node.content);
    }
  }
});

/**
 * Removes what may differ: offsets, which depend on the compressor, landmarks, and `./` before names. The reference rounds
 * times to seconds and repeats owner names, so times are rounded and names carried forward.
 */
function comparable(entries: readonly JsonEntry[]): unknown[] {
  const userNames = new Map<number, string>();
  const groupNames = new Map<number, string>();
  const carry = (names: Map<number, string>, id: number, name: string | undefined): string | undefined => {
    if (name !== undefined) names.set(id, name);
    return names.get(id);
  };
  return entries
    .filter(({ name }) => !name.endsWith('.landmark'))
    .map(({ offset: _, name, linkName, modtime, type, userName, groupName, uid = 0, gid = 0, ...others }) => ({
      ...others,
      type,
      uid,
      gid,
      name: name === './' ? name : name.replace(/^\.\//, ''),
      linkName: linkName?.replace(/^\.\//, ''),
      modtime: modtime && Math.round(Date.parse(modtime) / 1000),
      ...(type === 'chunk'
        ? {}
        : { userName: carry(userNames, uid, userName), groupName: carry(groupNames, gid, groupName) }),
    }));
}
