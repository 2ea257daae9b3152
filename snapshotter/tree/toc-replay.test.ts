/**
 * Expectations are the results of containerd 1.6, 1.7 and 2.1 with overlayfs; e2e/unpacking.root.test.ts compares with the
 * real one.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BuiltTree, NAMED_SINCE } from './build.ts';
import type { InodeTable } from './inode-table.ts';
import { direntName, findPath, findXattr, isDirectory, pathOf, writeLinkTarget } from './lookup.ts';
import { buildTree, dir, file, type JsonEntry } from './testing/toc-json.ts';

const at = (path: string): string => `1970-01-01T00:00:${path}Z`;
const link = (name: string, linkName: string, fields: object = {}): JsonEntry => ({
  name,
  type: 'hardlink',
  linkName,
  mode: 0o644,
  ...fields,
});
const symlink = (name: string, linkName: string, fields: object = {}): JsonEntry => ({
  name,
  type: 'symlink',
  linkName,
  ...fields,
});

/** Every path with its type: `d` and `f` with their mode, `l` with its target, `w` for a whiteout; `*` for opaque. */
function show({ table }: BuiltTree): Record<string, string> {
  const shown: Record<string, string> = {};
  const visit = (inode: number, path: string): void => {
    if (path !== '') shown[path] = describeInode(table, inode);
    if (!isDirectory(table, inode)) return;
    const first = table.firstDirent[inode]!;
    for (let row = first; row < first + table.direntLength[inode]!; row++)
      visit(table.direntInode[row]!, `${path}${path === '' ? '' : '/'}${direntName(table, row)}`);
  };
  visit(1, '');
  return shown;
}

function describeInode(table: InodeTable, inode: number): string {
  const mode = table.mode[inode]!;
  const permissions = (mode & 0o7777).toString(8);
  if (isDirectory(table, inode))
    return `d ${permissions}${findXattr(table, inode, Buffer.from('trusted.overlay.opaque')) < 0 ? '' : ' *'}`;
  if (mode === 0o020000 && table.rdev[inode] === 0) return 'w';
  if ((mode & 0o170000) === 0o120000) {
    const target = Buffer.alloc(table.sizeBytes[inode]!);
    writeLinkTarget(table, inode, target, 0);
    return `l ${target}`;
  }
  const letters = new Map([
    [0o100000, 'f'],
    [0o010000, 'p'],
    [0o020000, 'c'],
    [0o060000, 'b'],
  ]);
  return `${letters.get(mode & 0o170000)} ${permissions}`;
}

const timeOf = ({ table }: BuiltTree, path: string): number => table.mtimeSec[findPath(table, path)]!;

describe('a TOC is unpacked entry by entry', { timeout: 20_000 }, () => {
  test('every type of entry replaces every other, with everything below it', () => {
    const makers: Record<string, () => JsonEntry[]> = {
      dir: () => [dir('a'), file('a/b', 5, 100)],
      file: () => [file('a', 5, 200)],
      symlink: () => [symlink('a', 'other')],
      link: () => [link('a', 'other')],
      char: () => [{ name: 'a', type: 'char', mode: 0o600, devMajor: 1, devMinor: 3 }],
      fifo: () => [{ name: 'a', type: 'fifo', mode: 0o600 }],
    };
    const expected: Record<string, string> = {
      dir: 'd 755',
      file: 'f 644',
      symlink: 'l other',
      link: 'f 644',
      char: 'c 600',
      fifo: 'p 600',
    };
    for (const first of Object.keys(makers)) {
      for (const second of Object.keys(makers)) {
        const later = makers[second]!().map((entry) =>
          entry.offset === undefined ? entry : { ...entry, offset: 900 },
        );
        const shown = show(buildTree([file('other', 0, 0), ...makers[first]!(), ...later]));
        assert.equal(shown.a, expected[second], `${first}, then ${second}`);
        assert.equal(shown['a/b'], second === 'dir' ? 'f 644' : undefined, `${first}, then ${second}`);
      }
    }
  });

  test('a file that replaces a directory removes its content, also from a later directory of that name', () => {
    const replaced = [dir('a'), file('a/b', 0, 0), file('a/c/d', 0, 0), file('a', 0, 0)];
    assert.deepEqual(show(buildTree(replaced)), { a: 'f 644' });
    assert.deepEqual(show(buildTree([...replaced, dir('a'), file('a/e', 0, 0)])), { a: 'd 755', 'a/e': 'f 644' });
  });

  test('a replaced directory whose path is gone in the end is refused, as by unpacking', () => {
    const refused = { code: 'name' };
    assert.throws(() => buildTree([dir('a'), dir('a/c'), file('a', 0, 0)]), refused);
    assert.throws(() => buildTree([dir('a'), symlink('a', 'nowhere')]), refused);
    assert.throws(() => buildTree([dir('a'), file('.wh.a', 0, 0)], { isLowest: true }), refused);
  });

  test('a repeated directory keeps its children and extended attributes', () => {
    const tree = buildTree([
      dir('a', { xattrs: { 'user.one': 'MQ==', 'user.both': 'MQ==' } }),
      file('a/b', 0, 0),
      dir('a', { mode: 0o700, uid: 9, xattrs: { 'user.two': 'Mg==', 'user.both': 'Mg==' } }),
    ]);
    assert.deepEqual(show(tree), { a: 'd 700', 'a/b': 'f 644' });
    const { table } = tree;
    const inode = findPath(table, 'a');
    assert.deepEqual([table.uid[inode], table.xattrLength[inode]], [9, 3]);
    const row = findXattr(table, inode, Buffer.from('user.both'));
    assert.equal(String.fromCharCode(table.pool[table.xattrValueOffset[row]!]!), '2');
  });

  test('names below a symbolic link go to its target, within the root', () => {
    const cases: readonly (readonly [string, string])[] = [
      ['usr/lib', 'usr/lib/x'],
      ['/usr/lib', 'usr/lib/x'],
      ['../../../usr/lib', 'usr/lib/x'],
      ['new/deep/../place', 'new/place/x'],
    ];
    for (const [target, expected] of cases) {
      const shown = show(buildTree([dir('usr'), dir('usr/lib'), symlink('lib', target), file('lib/x', 0, 0)]));
      assert.equal(shown.lib, `l ${target}`);
      assert.equal(shown[expected], 'f 644', target);
      assert.equal(shown['lib/x'], undefined);
    }
  });

  test('`..` behind a link is resolved as by containerd', () => {
    const shown = show(
      buildTree([
        dir('x'),
        dir('c/d'),
        file('c/f', 0, 0),
        symlink('a', 'c/d'),
        symlink('s', 'a/../x'),
        file('s/q', 0, 0),
        symlink('a2', 'a/..'),
        file('a2/r', 0, 0),
      ]),
    );
    assert.deepEqual(Object.keys(shown), ['a', 'a2', 'c', 'c/d', 'c/f', 'c/r', 'c/x', 'c/x/q', 's', 'x']);
  });

  test('an entry for a link replaces the link, not its target', () => {
    assert.deepEqual(show(buildTree([dir('b'), symlink('a', 'b'), dir('a'), file('a/x', 0, 0)])), {
      a: 'd 755',
      'a/x': 'f 644',
      b: 'd 755',
    });
    assert.deepEqual(show(buildTree([dir('a'), file('a/x', 0, 0), dir('b'), symlink('a', 'b'), file('a/y', 0, 0)])), {
      a: 'l b',
      b: 'd 755',
      'b/y': 'f 644',
    });
  });

  test('an entry replaces a whiteout before it; an implied directory becomes opaque', () => {
    assert.deepEqual(show(buildTree([file('.wh.x', 0, 0), file('x', 0, 0)])), { x: 'f 644' });
    assert.deepEqual(show(buildTree([file('.wh.d', 0, 0), dir('d'), file('d/new', 0, 0)])), {
      d: 'd 755',
      'd/new': 'f 644',
    });
    assert.deepEqual(show(buildTree([file('.wh.d', 0, 0), file('d/new', 0, 0)])), { d: 'd 755 *', 'd/new': 'f 644' });
  });

  test('a repeated whiteout is accepted', () => {
    assert.deepEqual(show(buildTree([file('.wh.x', 0, 0), file('.wh.x', 0, 0)])), { x: 'w' });
  });

  test('an opaque marker keeps its siblings before and after it', () => {
    const shown = show(buildTree([dir('d'), file('d/1', 0, 0), file('d/.wh..wh..opq', 0, 0), file('d/2', 0, 0)]));
    assert.deepEqual(shown, { d: 'd 755 *', 'd/1': 'f 644', 'd/2': 'f 644' });
    assert.deepEqual(show(buildTree([file('d/.wh..wh..opq', 0, 0)])), { d: 'd 755 *' });
    assert.deepEqual(show(buildTree([file('d/.wh..wh..opq', 0, 0), file('d', 0, 0), dir('d')])), { d: 'd 755' });
  });

  test('in the lowest layer markers remove earlier entries and leave nothing', () => {
    const lowest = (entries: JsonEntry[]) => show(buildTree(entries, { isLowest: true }));
    const entries = [file('f', 5, 100), dir('d'), file('d/x', 5, 200), file('.wh.f', 0, 0), file('.wh.gone', 0, 0)];
    assert.deepEqual(lowest(entries), { d: 'd 755', 'd/x': 'f 644' });
    assert.deepEqual(lowest([dir('y'), file('y/1', 0, 0), file('y/.wh..wh..opq', 0, 0), file('y/2', 0, 0)]), {
      y: 'd 755',
      'y/1': 'f 644',
      'y/2': 'f 644',
    });
    // What no entry named goes, with what is in it.
    const implied = [file('z/i/1', 0, 0), file('z/k', 0, 0), file('z/.wh..wh..opq', 0, 0), file('z/i/2', 0, 0)];
    assert.deepEqual(Object.keys(lowest(implied)), ['z', 'z/i', 'z/i/2', 'z/k']);
    assert.deepEqual(lowest([file('i/1', 0, 0), file('.wh..wh..opq', 0, 0), file('k', 0, 0)]), { k: 'f 644' });
  });

  test('a layer has the same chunks as lowest layer and elsewhere', () => {
    const entries = [file('d/f', 5000, 100), file('g', 5, 200), file('d/.wh..wh..opq', 0, 0), file('.wh.h', 0, 0)];
    const [elsewhere, lowest] = [false, true].map((isLowest) => buildTree(entries, { isLowest }).table);
    for (const column of ['chunkDataOffset', 'chunkSizeBytes', 'chunkMember', 'memberOffset', 'memberEnd'] as const)
      assert.deepEqual(lowest![column], elsewhere![column]);
    assert.equal(lowest!.dataSizeBytes, elsewhere!.dataSizeBytes);
    const hidden = buildTree([file('f', 5, 100), file('.wh.f', 0, 0)], { isLowest: true }).table;
    assert.deepEqual([hidden.inodeCount, hidden.chunkCount, hidden.dataSizeBytes], [1, 1, 4096]);
    assert.deepEqual([buildTree(entries).hasMarks, buildTree([dir('a')]).hasMarks], [true, false]);
  });

  test('AUFS metadata, with hard links into .wh..wh.plnk, is shown as when unpacked', () => {
    const tree = buildTree([
      dir('.wh..wh.plnk', { mode: 0o700 }),
      file('.wh..wh.plnk/1.2', 5, 100),
      file('.wh..wh.aufs', 0, 0),
      dir('.wh..wh.orph', { mode: 0o700 }),
      link('h', '.wh..wh.plnk/1.2'),
    ]);
    assert.deepEqual(show(tree), {
      '.wh..wh.plnk': 'd 755',
      '.wh..wh.plnk/1.2': 'f 644',
      '.wh.aufs': 'w',
      '.wh.orph': 'w',
      '.wh.plnk': 'w',
      h: 'f 644',
    });
    assert.equal(findPath(tree.table, 'h'), findPath(tree.table, '.wh..wh.plnk/1.2'));
  });

  test('a hard link keeps its file when the target’s name is used again', () => {
    const { table } = buildTree([file('f', 5, 100), link('h', 'f'), file('f', 7, 200)]);
    assert.deepEqual([table.sizeBytes[findPath(table, 'h')], table.sizeBytes[findPath(table, 'f')]], [5, 7]);
    assert.deepEqual([table.nlink[findPath(table, 'h')], table.nlink[findPath(table, 'f')]], [1, 1]);
    const below = buildTree([file('d/f', 5, 100), link('h', 'd/f'), file('d', 7, 200)]).table;
    assert.deepEqual([below.sizeBytes[findPath(below, 'h')], below.sizeBytes[findPath(below, 'd')]], [5, 7]);
    assert.equal(pathOf(below, findPath(below, 'h')), 'h');
  });

  test('hard links follow symbolic links in the path of their target, not in its last component', () => {
    const through = buildTree([
      dir('d'),
      file('d/f', 0, 0),
      symlink('s', 'd'),
      link('h', 's/f'),
      link('i', '/s/../d/f'),
    ]);
    for (const name of ['h', 'i']) assert.equal(findPath(through.table, name), findPath(through.table, 'd/f'));
    const { table } = buildTree([file('f', 0, 0), symlink('s', 'f'), link('h', 's', { uid: 9 })]);
    const slashed = buildTree([file('f', 0, 0), symlink('s', 'f'), link('h', 's/'), link('i', 'f/')]).table;
    for (const name of ['h', 'i']) assert.equal(findPath(slashed, name), findPath(slashed, 'f'));
    assert.equal(findPath(table, 'h'), findPath(table, 's'));
    assert.deepEqual([table.uid[findPath(table, 's')], table.nlink[findPath(table, 's')]], [9, 2]);
  });

  test('the entry of a hard link sets the file’s attributes and drops its capabilities', () => {
    const xattrs = { 'user.a': 'MQ==', 'security.capability': Buffer.alloc(20).toString('base64') };
    const { table } = buildTree([
      file('f', 0, 0, { mode: 0o4755, xattrs }),
      link('h', 'f', { mode: 0o600, uid: 7, modtime: at('05'), xattrs: { 'user.b': 'Mg==' } }),
    ]);
    const inode = findPath(table, 'f');
    assert.deepEqual([table.mode[inode], table.uid[inode], table.mtimeSec[inode]], [0o100600, 7, 5]);
    assert.deepEqual(
      ['user.a', 'user.b', 'security.capability'].map((name) => findXattr(table, inode, Buffer.from(name)) >= 0),
      [true, true, false],
    );
  });

  test('a directory’s time is set on what its path resolves to in the end', () => {
    const replaced = buildTree([dir('a', { modtime: at('05') }), file('a', 0, 0, { modtime: at('07') })]);
    assert.equal(timeOf(replaced, 'a'), 5);
    const moved = [
      dir('a', { modtime: at('05') }),
      dir('b', { modtime: at('06') }),
      symlink('a', 'b', { modtime: at('07') }),
    ];
    assert.deepEqual([timeOf(buildTree(moved), 'a'), timeOf(buildTree(moved), 'b')], [7, 6]);
    const earlier = buildTree([moved[1]!, moved[0]!, moved[2]!]);
    assert.deepEqual([timeOf(earlier, 'a'), timeOf(earlier, 'b')], [7, 5]);
    const twice = buildTree([dir('a', { modtime: at('05') }), file('a/x', 0, 0), dir('a', { modtime: at('09') })]);
    assert.equal(timeOf(twice, 'a'), 9);
    const through = buildTree([symlink('l', 'd'), dir('l/x', { modtime: at('08') }), dir('d', { modtime: at('03') })]);
    assert.deepEqual([timeOf(through, 'd/x'), timeOf(through, 'd')], [8, 3]);
  });

  test('times that containerd does not set become 1970', () => {
    const tree = buildTree([
      file('before', 0, 0, { modtime: '1969-12-31T23:59:59.5Z' }),
      file('late', 0, 0, { modtime: '2262-04-11T23:47:17Z' }),
      file('last', 0, 0, { modtime: '2262-04-11T23:47:15.000000009Z' }),
    ]);
    const { table } = tree;
    const times = ['before', 'late', 'last'].map((name) => [
      timeOf(tree, name),
      table.mtimeNsec[findPath(table, name)],
    ]);
    assert.deepEqual(times, [
      [0, 0],
      [0, 0],
      [9_223_372_035, 9],
    ]);
  });

  test('implied directories are listed, parents first, and marked if an entry came later', () => {
    const { table, implied } = buildTree([
      dir('named'),
      file('a/b/c', 0, 0),
      file('a/.wh.x', 0, 0),
      file('late/x', 0, 0),
      dir('late', { mode: 0o700 }),
      file('.wh.hidden', 0, 0),
      file('hidden/x', 0, 0),
      file('gone/x', 0, 0),
      file('gone', 0, 0),
    ]);
    assert.deepEqual(
      [...implied].map((inode) =>
        inode >= NAMED_SINCE ? `${pathOf(table, inode - NAMED_SINCE)} named` : pathOf(table, inode),
      ),
      ['a', 'a/b', 'late named'],
    );
  });

  test('a directory implied in a set-group-ID one has its group', () => {
    const { table } = buildTree([dir('s', { mode: 0o2775, gid: 50 }), file('s/i/q/f', 0, 0)]);
    const attributes = ['s/i', 's/i/q'].map((path) => [
      table.mode[findPath(table, path)],
      table.gid[findPath(table, path)],
    ]);
    assert.deepEqual(attributes, [
      [0o040755, 50],
      [0o040755, 0],
    ]);
  });
});
