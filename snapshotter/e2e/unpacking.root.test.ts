/**
 * Stacks of layers that no converter would write, unpacked by containerd with overlayfs and mounted lazily on both faces:
 * the trees are the same, or both refuse.
 */
import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { startContainerd, type TestContainerd } from '../../testkit/containerd.ts';
import { startDaemon, type TestDaemon } from '../../testkit/daemon.ts';
import { suiteLifetime, undoAfter } from '../../testkit/lifetime.ts';
import { whileMounted } from '../../testkit/mounts.ts';
import { startRegistry } from '../../testkit/registry.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { openClient } from '../api/client.ts';
import { readXattrs } from '../platform/xattrs.ts';
import { RegistryClient } from '../registry/client.ts';
import { digestOf } from '../registry/digest.ts';
import { mediaTypes } from '../registry/manifest.ts';
import { parseReference } from '../registry/reference.ts';
import { buildOrderedLayer, type OrderedLayer, type TarEntry } from './testing/ordered-layer.ts';

const faces = ['fuse', 'erofs'] as const;
type Face = (typeof faces)[number];

const limit = { timeout: 60_000 };
const dir = (name: string, more: Partial<TarEntry> = {}): TarEntry => ({ name, type: 'dir', ...more });
const file = (name: string, more: Partial<TarEntry> = {}): TarEntry => ({ name, type: 'reg', content: name, ...more });
const mark = (name: string): TarEntry => ({ name, type: 'reg' });
const symlink = (name: string, linkName: string): TarEntry => ({ name, type: 'symlink', linkName });
const link = (name: string, linkName: string, more: Partial<TarEntry> = {}): TarEntry => ({
  name,
  type: 'hardlink',
  linkName,
  ...more,
});

const base: TarEntry[] = [
  dir('./', { mode: 0o700, uid: 5 }),
  dir('tmp/', { mode: 0o1777 }),
  dir('home/'),
  dir('home/app/', {
    mode: 0o750,
    uid: 1000,
    gid: 1000,
    xattrs: { 'user.kept': 'v' },
    modtime: '1999-01-01T00:00:00.5Z',
  }),
  dir('root/', { mode: 0o700 }),
  dir('d/', { mode: 0o711 }),
  file('d/old'),
  dir('s/', { mode: 0o2775, gid: 50 }),
  symlink('lib', 'usr/lib'),
  dir('usr/lib/', { mode: 0o701 }),
  file('usr/lib/a'),
  file('f', { mode: 0o4755 }),
];
const top = [file('tmp/x'), file('home/app/.conf'), file('root/.profile'), file('lib/q'), file('s/i/j'), file('new/y')];
const trusted = ['opaque', 'redirect', 'metacopy', 'whiteout'].map((name) => [`trusted.overlay.${name}`, 'y']);

/** acl(5): owner rwx, user 5 rw-, group r--, mask rwx, others r-x. */
const acl = Buffer.from(
  '0200000001000700ffffffff020006000500000004000400ffffffff10000700ffffffff20000500ffffffff',
  'hex',
).toString('latin1');

const stacks: Readonly<Record<string, readonly (readonly TarEntry[])[]>> = {
  'empty and repeated layers': [base, [], top, []],
  'one layer twice': [base, base],
  'one layer of whiteouts twice, above nothing of their directory': [
    [file('x')],
    [mark('usr/.wh.a')],
    [mark('usr/.wh.a')],
    [],
  ],
  'one layer twice, whose directories have no entries': [top, top],
  'directories without entries': [base, top],
  'a layer of nothing but a whiteout': [base, [mark('usr/lib/.wh.a')]],
  'directories without entries that get one after all': [base, [file('home/app/x'), dir('home/app/', { mode: 0o711 })]],
  'attributes through several layers': [base, top, [file('tmp/z'), file('s/i/k/l'), file('new/z')]],
  'attributes of what is hidden': [base, [mark('.wh.d')], [file('d/z')]],
  'a file in place of a directory': [[dir('a/', { modtime: '1999-01-01T00:00:00Z' }), file('a/b'), file('a')]],
  'a directory in place of a link': [[dir('b/'), symlink('a', 'b'), dir('a/'), file('a/x')]],
  'names through a link of the same layer': [[dir('usr/lib/'), symlink('lib', 'usr/lib'), file('lib/libx.so')]],
  'names through links that climb, or lead nowhere': [
    [symlink('l', '../../../t'), file('l/f'), symlink('m', 'u/v/../w'), file('m/g'), symlink('n', '/x'), dir('n/o/')],
  ],
  'names through a link of a layer below': [base, [file('lib/libx.so')]],
  'links of overlayfs in an archive': [
    base,
    [dir('d/', { xattrs: Object.fromEntries(trusted) }), file('f', { xattrs: Object.fromEntries(trusted) })],
  ],
  'extended attributes of every namespace': [
    [
      file('a', { mode: 0o640, xattrs: { 'user.x': '1', 'security.x': '\xff\0', 'system.posix_acl_access': acl } }),
      { ...symlink('b', 'a'), xattrs: { 'user.x': '1', 'security.x': '2' } },
      dir('c/', { xattrs: { 'user.overlay.opaque': 'y', 'com.apple.x': '1', 'system.nfs4_acl': '1' } }),
      dir('c/', { xattrs: { 'user.more': '' } }),
    ],
  ],
  'whiteouts before what they hide': [base, [mark('.wh.f'), file('f'), mark('.wh.d'), dir('d/'), file('d/new')]],
  'opaque markers among siblings': [base, [file('d/1'), mark('d/.wh..wh..opq'), file('d/2')]],
  'markers in the lowest layer': [
    [...base, mark('.wh.gone'), mark('d/.wh..wh..opq'), file('i/j/k'), mark('i/.wh..wh..opq'), file('i/l')],
    [file('q')],
  ],
  'the links of AUFS': [
    base,
    [dir('.wh..wh.plnk/'), file('.wh..wh.plnk/1.2'), mark('.wh..wh.aufs'), link('h', '.wh..wh.plnk/1.2')],
  ],
  'hard links whose names are used again': [
    [file('f'), link('h', 'f'), file('f', { content: 'second' }), link('g', 'h', { uid: 7 })],
  ],
  'large ids, far times, names of any bytes': [
    [
      file('ids', { uid: 4_294_967_294, gid: 3_000_000_000 }),
      file('before', { modtime: '1960-01-01T00:00:00Z' }),
      file('nanoseconds', { modtime: '2024-01-01T00:00:00.123456789Z' }),
      dir('late/', { modtime: '2262-04-11T23:47:15Z' }),
      file('too late', { modtime: '2400-01-01T00:00:00Z' }),
      file('\xff\xfe\x01"\\name'),
    ],
  ],
};

/** containerd refuses these; so nothing is shown lazily either. */
const refused: Readonly<Record<string, readonly (readonly TarEntry[])[]>> = {
  'a hard link to a file of a layer below': [base, [link('h', 'f')]],
  'a hard link before its target': [[link('h', 'x'), file('x')]],
  'names through a loop of links': [[symlink('l', 'l'), file('l/x')]],
  'a file below a file of a layer below': [base, [file('f/a/b')]],
  'a whiteout after what it names': [base, [file('n'), mark('.wh.n')]],
};

describe('what containerd unpacks is what is mounted', { timeout: 500_000 }, () => {
  const suite = suiteLifetime();
  const client = new RegistryClient();
  const daemons = new Map<Face, TestDaemon>();
  let directory: string;
  let host: string;
  let containerd: TestContainerd;

  const configOf = (face: Face): string => `disable_verification = true\n[mount]\nbackend = "${face}"\n`;

  before(async () => {
    directory = openScratch(suite, 'unpack');
    undoAfter(suite, () => client.close());
    host = (await startRegistry(suite)).host;
    containerd = await startContainerd(suite, join(directory, 'c'), { registryAddress: host });
    for (const face of faces)
      daemons.set(face, await startDaemon(suite, join(directory, face), { config: configOf(face) }));
  }, limit);

  let count = 0;

  async function push(stack: readonly (readonly TarEntry[])[]): Promise<{ name: string; layers: OrderedLayer[] }> {
    const name = `${host}/stack-${++count}:1`;
    const reference = parseReference(name);
    const signal = AbortSignal.timeout(30_000);
    const put = async (bytes: Buffer, mediaType: string) => {
      const digest = digestOf(bytes);
      const open = async function* () {
        yield bytes;
      };
      await client.pushBlob(reference, { digest, sizeBytes: bytes.length, open }, signal);
      return { mediaType, digest, size: bytes.length };
    };
    const layers = stack.map(buildOrderedLayer);
    const config = {
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    };
    const manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: await put(Buffer.from(JSON.stringify(config)), mediaTypes.ociConfig),
      layers: await Promise.all(layers.map(({ blob }) => put(blob, mediaTypes.ociLayerGzip))),
    };
    await client.pushManifest(reference, mediaTypes.ociManifest, Buffer.from(JSON.stringify(manifest)), signal);
    return { name, layers };
  }

  async function unpack(name: string): Promise<string[]> {
    await containerd.command('ctr', ['images', 'pull', '--plain-http', '--snapshotter', 'overlayfs', name]);
    const target = join(directory, 'reference');
    mkdirSync(target, { recursive: true });
    await containerd.command('ctr', ['images', 'mount', '--snapshotter', 'overlayfs', name, target]);
    try {
      return listTree(target);
    } finally {
      await containerd.command('ctr', ['images', 'unmount', '--rm', '--snapshotter', 'overlayfs', target]);
    }
  }

  const snapshotsOf = (face: Face) =>
    openClient('containerd.services.snapshots.v1.Snapshots', daemons.get(face)!.address);

  /** As CRI's PullImage asks; the last layer's snapshot. */
  async function prepareLazily(face: Face, name: string, layers: readonly OrderedLayer[]): Promise<string> {
    const snapshots = snapshotsOf(face);
    let parent = '';
    for (const [index, { digest }] of layers.entries()) {
      const ref = `${name} ${index}`;
      const labels = {
        'containerd.io/snapshot.ref': ref,
        'containerd.io/snapshot/cri.image-ref': name,
        'containerd.io/snapshot/cri.layer-digest': digest,
        'containerd.io/snapshot/cri.image-layers': layers
          .slice(index)
          .map((layer) => layer.digest)
          .join(','),
      };
      const outcome = await snapshots.prepare({ key: `extract ${ref}`, parent, labels }).then(
        () => 'is not lazy',
        (error: { code?: string }) => error.code,
      );
      if (outcome !== 'ALREADY_EXISTS') {
        snapshots.close();
        throw new Error(`layer ${index}: ${outcome}\n${daemons.get(face)!.log().slice(-2000)}`);
      }
      parent = ref;
    }
    snapshots.close();
    return parent;
  }

  async function listLazily(face: Face, parent: string): Promise<string[]> {
    const snapshots = snapshotsOf(face);
    const key = `view ${++count}`;
    try {
      const { mounts } = await snapshots.prepare({ key, parent });
      return await whileMounted(mounts, join(directory, `lazy-${face}`), listTree);
    } finally {
      await snapshots.remove({ key }).catch(() => {});
      snapshots.close();
    }
  }

  for (const [title, stack] of Object.entries(stacks)) {
    test(title, limit, async () => {
      const { name, layers } = await push(stack);
      const expected = await unpack(name);
      for (const face of faces) {
        const lazy = await listLazily(face, await prepareLazily(face, name, layers));
        assert.deepEqual(comparable(lazy, expected), comparable(expected, expected), face);
      }
    });
  }

  for (const [title, stack] of Object.entries(refused)) {
    test(`${title} is refused by both`, limit, async () => {
      const { name, layers } = await push(stack);
      await assert.rejects(unpack(name));
      for (const face of faces) await assert.rejects(prepareLazily(face, name, layers), /is not lazy/);
    });
  }

  test(
    'a layer in two chains has the attributes of each, also after a restart, until the last is removed',
    limit,
    async () => {
      const otherBase = [dir('tmp/', { mode: 0o700, uid: 9 }), ...base.slice(2)];
      const images = [await push([base, top, top]), await push([otherBase, top])];
      for (const face of faces) {
        const chains: { expected: string[]; chain: string; depth: number }[] = [];
        for (const { name, layers } of images) {
          const expected = await unpack(name);
          chains.push({ expected, chain: await prepareLazily(face, name, layers), depth: layers.length });
        }
        const check = async ({ expected, chain }: (typeof chains)[number]) =>
          assert.deepEqual(comparable(await listLazily(face, chain), expected), comparable(expected, expected), face);
        for (const chain of chains) await check(chain);
        for (const signal of ['SIGTERM', 'SIGINT'] as const) {
          await daemons.get(face)!.stop(signal);
          daemons.set(face, await startDaemon(suite, join(directory, face), { config: configOf(face) }));
          for (const chain of chains) await check(chain);
        }
        const snapshots = snapshotsOf(face);
        const { chain, depth } = chains[0]!;
        for (let index = depth - 1; index >= 0; index--)
          await snapshots.remove({ key: chain.replace(/\d+$/, String(index)) });
        snapshots.close();
        await check(chains[1]!);
      }
    },
  );
});

const formatNames = ['stargz.index.json', '.prefetch.landmark', '.no.prefetch.landmark'];

/** A line a file: what stat(2), readlink(2), getxattr(2) and its bytes say of it. The root's time is its mount's. */
function listTree(root: string): string[] {
  const lines: string[] = [];
  const visit = (path: Buffer, shown: string): void => {
    const stat = lstatSync(path, { bigint: true });
    const xattrs = readXattrs(path).map(({ name, value }) => `${name}=${value.toString('hex')}`);
    const content = stat.isSymbolicLink()
      ? readlinkSync(path, 'latin1')
      : stat.isFile()
        ? readFileSync(path).toString('latin1')
        : stat.rdev;
    const links = stat.isDirectory() ? '' : stat.nlink;
    const facts = [stat.mode.toString(8), stat.uid, stat.gid, links, xattrs.sort().join(','), content];
    lines.push(`${shown}\t${stat.mtimeNs}\t${facts.join(' ')}`);
    if (!stat.isDirectory()) return;
    for (const name of readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare)) {
      if (shown === '' && formatNames.includes(name.toString())) continue;
      visit(Buffer.concat([path, Buffer.from('/'), name]), `${shown}/${name.toString('latin1')}`);
    }
  };
  visit(Buffer.from(root), '');
  return lines;
}

/** Without the times of what has its time from the moment of unpacking: directories without entries, and the root. */
function comparable(lines: readonly string[], reference: readonly string[]): string[] {
  const unpackedAfterNs = BigInt(Date.now() - 600_000) * 1_000_000n;
  const isOfUnpacking = new Set(
    reference.map((line) => line.split('\t')).flatMap(([path, time]) => (BigInt(time!) > unpackedAfterNs ? path! : [])),
  );
  return lines.map((line) => {
    const [path, time, facts] = line.split('\t');
    const isFar = BigInt(time!) > BigInt(Date.now() + 86_400_000) * 1_000_000n;
    return `${path} ${isOfUnpacking.has(path!) && !isFar ? '' : time} ${facts}`;
  });
}
