/**
 * The tree that containerd unpacks from an image with overlayfs equals the one it unpacks from our conversion, and the one
 * that our daemon mounts.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { startContainerd, type TestContainerd } from '../../testkit/containerd.ts';
import { startDaemon, type TestDaemon } from '../../testkit/daemon.ts';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { startRegistry, type TestRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { RegistryClient } from '../registry/client.ts';
import { parseReference } from '../registry/reference.ts';
import { convertImage } from './image.ts';
import { type LayerFormat, layerFormats } from './format.ts';
import { awkwardStacks, joinStacks } from './testing/awkward-stacks.ts';
import { pushDockerImage } from './testing/image.ts';
import { rawTar } from './testing/raw-tar.ts';

const run = promisify(execFile);
const listing = join(import.meta.dirname, '../../harness/programs/equality/listing.ts');
const signal = AbortSignal.timeout(240_000);
const client = new RegistryClient();
const nameOf = (index: number): string => `stack-${index}`;

interface Line {
  readonly name: string;
  readonly mtime?: string;
}

const suite = suiteLifetime();
let directory: string;
let registry: TestRegistry;
let daemon: TestDaemon;
let containerd: TestContainerd;
/** The source unpacked, and each conversion unpacked and mounted. */
const trees = new Map<string, readonly Line[]>();

before(
  async () => {
    directory = openScratch(suite, 'unpack');
    registry = await startRegistry(suite);
    daemon = await startDaemon(suite, directory, { config: '[mount]\nbackend = "fuse"\n' });
    containerd = await startContainerd(suite, join(directory, 'c'), {
      snapshotter: 'stargz',
      snapshotterAddress: daemon.address,
    });
    const layers = joinStacks(awkwardStacks, nameOf).map((entries) => rawTar(...entries));
    await pushDockerImage(client, reference('source'), layers);
    trees.set('source', await unpackedTree('source'));
    for (const format of layerFormats) {
      await convertImage(client, reference('source'), reference(format), { format, signal, minChunkSizeBytes: 4096 });
      trees.set(`${format}, unpacked`, await unpackedTree(format));
      if (format !== 'stargz') trees.set(`${format}, mounted`, await mountedTree(format));
    }
  },
  { timeout: 240_000 },
);

after(() => client.close());

function reference(name: 'source' | LayerFormat) {
  return parseReference(`${registry.host}/unpacking/${name}:1`);
}

async function unpackedTree(name: 'source' | LayerFormat): Promise<readonly Line[]> {
  const image = `${registry.host}/unpacking/${name}:1`;
  await containerd.command('ctr', ['images', 'pull', '--plain-http', '--snapshotter', 'overlayfs', image]);
  return listTree(image, 'overlayfs');
}

async function mountedTree(name: LayerFormat): Promise<readonly Line[]> {
  const image = `${registry.host}/unpacking/${name}:1`;
  await containerd.command('ctr-remote', ['images', 'rpull', '--plain-http', image]);
  assert.deepEqual(daemon.status().fallbacks, [], 'no layer falls back to unpacking');
  return listTree(image, 'stargz');
}

async function listTree(image: string, snapshotter: string): Promise<readonly Line[]> {
  const target = join(directory, 'rootfs');
  mkdirSync(target, { recursive: true });
  await containerd.command('ctr', ['images', 'mount', '--snapshotter', snapshotter, image, target]);
  try {
    const own = ['.prefetch.landmark', '.no.prefetch.landmark', 'stargz.index.json'];
    const args = [listing, target, ...own.flatMap((name) => ['--skip', name])];
    const { stdout } = await run(process.execPath, args, { timeout: 60_000, maxBuffer: 1 << 26 });
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);
  } finally {
    await containerd.command('ctr', ['images', 'unmount', '--rm', '--snapshotter', snapshotter, target]);
  }
}

for (const [index, { title, undated = [] }] of awkwardStacks.entries()) {
  test(title, { timeout: 10_000 }, () => {
    const top = `${nameOf(index)}/`;
    const undatedPaths = new Set(undated.map((path) => top + path));
    const linesOf = (tree: readonly Line[]): Line[] =>
      tree
        .filter(({ name }) => name.startsWith(top))
        .map((line) => (undatedPaths.has(line.name) ? { ...line, mtime: 'of unpacking' } : line));
    const expected = linesOf(trees.get('source')!);
    assert.ok(expected.length > 0);
    for (const [what, tree] of trees) assert.deepEqual(linesOf(tree), expected, what);
  });
}

test('nothing but symlink targets exists outside the directories of the stacks', { timeout: 10_000 }, () => {
  const beside = (tree: readonly Line[]): string[] =>
    tree.map(({ name }) => name).filter((name) => name !== '' && !name.startsWith('stack-'));
  const expected = [
    'top-of-absolute',
    'top-of-absolute/deep',
    'top-of-absolute/deep/x',
    'top-of-names',
    'top-of-names/x',
  ];
  for (const [what, tree] of trees) assert.deepEqual(beside(tree), expected, what);
});
