import assert from 'node:assert/strict';
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fc } from '../../testkit/random.ts';
import { buildInodeTable } from '../tree/build.ts';
import type { InodeTable } from '../tree/inode-table.ts';
import { findPath } from '../tree/lookup.ts';
import { type Attributes, encodeTree, type Node, treeArbitrary } from '../tree/testing/random-tree.ts';
import { buildTree, chunk, dir, encodeToc, file, type JsonEntry } from '../tree/testing/toc-json.ts';
import { runFsck, withMountedImage } from './testing/mounted-image.ts';
import { listXattrs, readXattrs } from '../../harness/host/xattr.ts';

const typeBits = { dir: 0o040000, file: 0o100000, symlink: 0o120000, fifo: 0o010000, char: 0o020000, block: 0o060000 };
const plain: Attributes = { mode: 0o755, uid: 0, gid: 0, mtimeSec: 0, xattrs: {} };

/** Bytes that differ by path and offset. */
function contentOf(path: string, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  const seed = Buffer.from(path);
  for (let at = 0; at < sizeBytes; at++) bytes[at] = seed[at % seed.length]! ^ (at >>> 7);
  return bytes;
}

/** Not readdir's `recursive`, which follows symbolic links to directories. */
function listPaths(root: string, prefix = ''): string[] {
  return readdirSync(join(root, prefix), { withFileTypes: true }).flatMap((entry) => {
    const path = prefix + entry.name;
    return entry.isDirectory() ? [path, ...listPaths(root, `${path}/`)] : [path];
  });
}

function checkNode(root: string, path: string, node: Node, linkCount: number): void {
  const full = join(root, path);
  const stat = lstatSync(full, { bigint: true });
  const attributes = (path === '' ? undefined : node.attributes) ?? plain;
  const type = node.kind === 'device' ? typeBits[node.type] : typeBits[node.kind];
  assert.equal(Number(stat.mode), type | (node.kind === 'symlink' ? 0o777 : attributes.mode), path);
  assert.equal(Number(stat.uid), attributes.uid, path);
  // An implied directory may have the group of the one above it.
  if (node.attributes !== undefined && path !== '') assert.equal(Number(stat.gid), attributes.gid, path);
  assert.equal(stat.mtimeNs, BigInt(Math.max(0, attributes.mtimeSec)) * 1_000_000_000n, path);
  assert.equal(Number(stat.nlink), linkCount, path);
  // Linux allows user.* only on regular files and directories, so unpacking leaves it out elsewhere.
  const xattrs = node.kind === 'file' || node.kind === 'dir' ? attributes.xattrs : {};
  if (node.kind === 'file' || node.kind === 'dir') assert.deepEqual(sorted(readXattrs(full)), sorted(xattrs), path);
  else assert.deepEqual(listXattrs(full), [], path);
  if (node.kind === 'file') assert.deepEqual(readFileSync(full), contentOf(path, node.size), path);
  if (node.kind === 'symlink') assert.equal(readlinkSync(full), node.target);
  if (node.kind === 'device') assert.equal(stat.rdev, deviceNumber(node.major, node.minor), path);
}

/** glibc's makedev, which stat(2) answers with. */
function deviceNumber(major: number, minor: number): bigint {
  return BigInt((minor & 0xff) | ((major & 0xfff) << 8)) + (BigInt(minor & 0xfffff00) << 12n);
}

function sorted(xattrs: { readonly [name: string]: Buffer }): [string, string][] {
  return Object.entries(xattrs)
    .map(([name, value]): [string, string] => [name, value.toString('hex')])
    .sort(([left], [right]) => (left < right ? -1 : 1));
}

function fileContents(table: InodeTable, paths: Iterable<readonly [string, Node]>): Map<number, Buffer> {
  const contents = new Map<number, Buffer>();
  for (const [path, node] of paths) {
    if (node.kind === 'file' && node.size > 0)
      contents.set(table.dataOffset[findPath(table, path)]!, contentOf(path, node.size));
  }
  return contents;
}

describe('EROFS image, mounted', { timeout: 180_000 }, () => {
  test('any tree is read back through the kernel: names, types, owners, times, links, attributes, content', async () => {
    const sizes = fc.constantFrom(0, 1, 4095, 4096, 4097, 8192, 70_000);
    await fc.assert(
      fc.asyncProperty(
        treeArbitrary(sizes),
        fc.array(fc.nat(1000), { maxLength: 4 }),
        fc.infiniteStream(fc.nat()),
        async (tree, targets, stream) => {
          const { entries, paths, links, payloadEnd } = encodeTree(
            tree,
            targets,
            (count) => stream.next().value! % count,
          );
          const { table } = buildInodeTable(encodeToc(entries), { payloadEnd, opaqueXattr: 'trusted' });
          await withMountedImage(table, fileContents(table, paths), (root, files) => {
            runFsck(table, files);
            assert.deepEqual(listPaths(root).sort(), [...paths.keys(), ...links.keys()].sort());
            for (const [path, node] of [['', tree] as const, ...paths]) {
              const subdirectories =
                node.kind === 'dir' ? [...node.children.values()].filter(({ kind }) => kind === 'dir').length : 0;
              const names = [...links.values()].filter((target) => target === path).length;
              checkNode(root, path, node, node.kind === 'dir' ? 2 + subdirectories : 1 + names);
            }
            for (const [name, target] of links)
              assert.equal(lstatSync(join(root, name)).ino, lstatSync(join(root, target)).ino);
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  test('every name of a directory of 20,000 is found, and no others are', async () => {
    const names = Array.from({ length: 20_000 }, (_, index) => `${(index * 7919) % 20_000}-${'x'.repeat(index % 90)}`);
    names.push('-', '-a', '.-', '.-a', '..-', '...', '..a', '.a', '!', '~', 'é', '\u{1f600}');
    const { table } = buildTree(names.map((name) => file(`d/${name}`, 0, 0)));
    await withMountedImage(table, new Map(), (root) => {
      assert.deepEqual(readdirSync(join(root, 'd')).sort(), [...names].sort());
      for (const name of names) assert.ok(lstatSync(join(root, 'd', name)).isFile());
      for (const name of ['0', '.', '..', '~~', ' ', '19999-', 'é ']) {
        assert.equal(lstatSync(join(root, 'd', name), { throwIfNoEntry: false })?.isFile() ?? false, false, name);
      }
    });
  });

  test('symbolic links of every length up to the maximum are read back', async () => {
    const lengths = [1, 59, 60, 3900, 4000, 4031, 4032, 4033, 4094, 4095];
    const entries = lengths.map(
      (length): JsonEntry => ({ name: `l${length}`, type: 'symlink', linkName: 'y'.repeat(length) }),
    );
    const { table } = buildTree(entries);
    await withMountedImage(table, new Map(), (root, files) => {
      runFsck(table, files);
      for (const length of lengths) assert.equal(readlinkSync(join(root, `l${length}`)), 'y'.repeat(length));
    });
  });

  test('attributes of every namespace, large ones and many shared ones are read back', async () => {
    const base64 = (value: string | Buffer): string => Buffer.from(value).toString('base64');
    const large = Buffer.alloc(60_000, 'large value ');
    // Owner rw-, user 5 r--, group r--, mask r--, others r--: as mode 0644 has it.
    const acl = Buffer.from(
      '0200000001000600ffffffff020004000500000004000400ffffffff10000400ffffffff20000400ffffffff',
      'hex',
    );
    const xattrs = {
      'user.a': base64('1'),
      'security.b': base64('2'),
      'security.capability': base64(Buffer.from('0100000200200000000000000000000000000000', 'hex')),
      'system.posix_acl_access': base64(acl),
      'user.large': base64(large),
      'nowhere.x': base64('dropped'),
    };
    const shared = Object.fromEntries(
      Array.from({ length: 100 }, (_, index) => [`user.shared${index}`, base64(`value ${index}`)]),
    );
    const { table } = buildTree([
      file('one', 5, 100, { xattrs }),
      file('two', 0, 0, { xattrs: { ...shared, 'user.own': base64('x') } }),
      dir('three', { xattrs: shared }),
    ]);
    await withMountedImage(table, new Map(), (root, files) => {
      runFsck(table, files);
      const one = readXattrs(join(root, 'one'));
      assert.deepEqual(one['user.large'], large);
      assert.equal(one['security.b']!.toString(), '2');
      assert.equal(one['security.capability']!.length, 20);
      assert.deepEqual(one['system.posix_acl_access'], acl);
      assert.equal(one['nowhere.x'], undefined);
      const two = readXattrs(join(root, 'two'));
      assert.equal(Object.keys(two).length, 101);
      assert.equal(two['user.shared99']!.toString(), 'value 99');
      assert.equal(two['user.own']!.toString(), 'x');
      assert.equal(Object.keys(readXattrs(join(root, 'three'))).length, 100);
    });
  });

  test('files beyond 4 GiB, and far into the data file, map to the right blocks', async () => {
    const gib = 2 ** 30;
    const entries = [file('huge', 5 * gib + 17, 100, { chunkSize: gib })];
    for (let index = 1; index < 5; index++) entries.push(chunk('huge', 100 + index * 10, index * gib, gib));
    entries.push(chunk('huge', 150, 5 * gib, 17), file('after', 5, 200));
    const { table } = buildTree(entries);
    const contents = new Map([
      [3 * gib + 123, Buffer.from('in the middle')],
      [5 * gib, Buffer.from('the last bytes!!!')],
      [table.dataOffset[findPath(table, 'after')]!, Buffer.from('after')],
    ]);
    await withMountedImage(table, contents, (root) => {
      const fd = openSync(join(root, 'huge'), 'r');
      const bytes = Buffer.alloc(100);
      try {
        readSync(fd, bytes, 0, 13, 3 * gib + 123);
        assert.equal(bytes.toString('latin1', 0, 13), 'in the middle');
        assert.equal(readSync(fd, bytes, 0, 100, 5 * gib), 17);
        assert.equal(bytes.toString('latin1', 0, 17), 'the last bytes!!!');
      } finally {
        closeSync(fd);
      }
      assert.equal(lstatSync(join(root, 'huge')).size, 5 * gib + 17);
      assert.equal(readFileSync(join(root, 'after'), 'latin1'), 'after');
    });
  });

  test('whiteouts and opaque directories are what overlayfs looks for', async () => {
    const { table } = buildTree([file('.wh.gone', 0, 0), dir('opaque'), file('opaque/.wh..wh..opq', 0, 0)]);
    await withMountedImage(table, new Map(), (root) => {
      const gone = lstatSync(join(root, 'gone'));
      assert.ok(gone.isCharacterDevice());
      assert.equal(gone.rdev, 0);
      assert.equal(readXattrs(join(root, 'opaque'))['trusted.overlay.opaque']!.toString(), 'y');
      assert.equal(statfsSync(root).type, 0xe0f5e1e2);
    });
  });
});
