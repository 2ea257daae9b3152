import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalEntries } from './canonical-entries.ts';
import { inheritInto, replayLayer } from './replay.ts';
import { scanTar } from '../tar/tar.ts';
import { type RawEntry, rawTar } from './testing/raw-tar.ts';

function replay(entries: readonly RawEntry[], lowest = false) {
  const tar = rawTar(...entries);
  const replaying = replayLayer(lowest);
  const scan = scanTar((offset, length) => tar.subarray(offset, offset + length), tar.length);
  for (const entry of scan) replaying.apply(entry);
  return replaying.finish();
}

/** Type and name of each entry, with an asterisk if its header is written anew. */
function results(entries: readonly RawEntry[], lowest = false): string[] {
  return [...canonicalEntries(replay(entries, lowest))].map(
    ({ entry, rewritten }) => `${entry.type} ${entry.name}${rewritten ? '*' : ''}`,
  );
}

const link = (name: string, linkName: string): RawEntry => ({ name, type: '2', linkName });
const hardlink = (name: string, linkName: string): RawEntry => ({ name, type: '1', linkName });

test('an ordinary layer keeps its entries with their order and headers', { timeout: 10_000 }, () => {
  const entries: RawEntry[] = [
    { name: './' },
    { name: './usr/' },
    { name: './usr/.wh.old' },
    { name: './usr/bin/' },
    { name: './usr/bin/sh', mode: 0o755 },
    { ...hardlink('./usr/bin/dash', './usr/bin/sh'), mode: 0o755 },
    link('./bin', 'usr/bin'),
    { name: './var/' },
    { name: './var/.wh..wh..opq' },
  ];
  assert.deepEqual(results(entries), [
    'dir ',
    'dir usr',
    'reg usr/.wh.old',
    'dir usr/bin',
    'reg usr/bin/sh',
    'hardlink usr/bin/dash',
    'symlink bin',
    'dir var',
    'reg var/.wh..wh..opq',
  ]);
});

test('a directory is opaque if its whiteout follows its content, or if it is implied after its whiteout', {
  timeout: 10_000,
}, () => {
  const opaque = ['dir d*', 'reg d/.wh..wh..opq*', 'reg d/new'];
  assert.deepEqual(results([{ name: '.wh.d' }, { name: 'd/new' }]), opaque);
  assert.deepEqual(results([{ name: 'd/new' }, { name: '.wh.d' }]), opaque);
  const described = ['dir d', 'reg d/.wh..wh..opq*', 'reg d/new'];
  assert.deepEqual(results([{ name: 'd/' }, { name: 'd/new' }, { name: '.wh.d' }]), described);
  assert.deepEqual(
    replay([{ name: '.wh.d' }, { name: 'd/new' }]).inheriting,
    [],
    'it inherits nothing from the directory that it hides',
  );
});

test('a directory’s own entry replaces an earlier whiteout, as when containerd unpacks to overlayfs', {
  timeout: 10_000,
}, () => {
  assert.deepEqual(results([{ name: '.wh.d' }, { name: 'd/' }, { name: 'd/new' }]), ['dir d', 'reg d/new']);
});

test('a whiteout and a file of the same name, or two whiteouts, leave one entry', { timeout: 10_000 }, () => {
  assert.deepEqual(results([{ name: '.wh.f' }, { name: 'f' }]), ['reg f']);
  assert.deepEqual(results([{ name: 'f' }, { name: '.wh.f' }]), ['reg f']);
  assert.deepEqual(results([{ name: '.wh.f' }, { name: '.wh.f' }]), ['reg .wh.f']);
});

test('whiteouts in the lowest layer remove earlier entries and are dropped', { timeout: 10_000 }, () => {
  const entries = [{ name: 'a/b' }, { name: '.wh.a' }, { name: 'c' }, { name: '.wh.d' }];
  assert.deepEqual(results(entries, true), ['reg c']);
});

test('when a file with hard links is replaced, its first remaining name becomes the file', { timeout: 10_000 }, () => {
  const entries: RawEntry[] = [
    { name: 'a', content: 'first' },
    hardlink('b', 'a'),
    hardlink('c', 'a'),
    { name: 'a', content: 'second' },
  ];
  assert.deepEqual(results(entries), ['reg b*', 'hardlink c*', 'reg a']);
});

test('a hard link target may end in a slash, which also follows a final symlink', { timeout: 10_000 }, () => {
  assert.deepEqual(results([{ name: 'a' }, link('l', 'a'), hardlink('b', 'a/'), hardlink('c', 'l/')]), [
    'reg a',
    'symlink l',
    'hardlink b',
    'hardlink c*',
  ]);
});

test('directories without an entry are listed as inheriting, and take attributes from lower layers', {
  timeout: 10_000,
}, () => {
  const replayed = replay([{ name: 'a/b/c' }, { name: 'a/', mode: 0o700 }]);
  assert.deepEqual(replayed.inheriting, ['a', 'a/b']);
  const inherited = {
    mode: 0o1777,
    uid: 5,
    gid: 6,
    userName: '',
    groupName: '',
    mtime: { sec: 7, nsec: 8 },
    xattrs: new Map([['user.k', 'v']]),
  };
  inheritInto(replayed, new Map(['a', 'a/b'].map((path) => [path, inherited])));
  const [a, b] = [...canonicalEntries(replayed)].map(({ entry }) => entry);
  assert.deepEqual([a!.mode, a!.uid, a!.xattrs], [0o700, 0, inherited.xattrs], 'its own entry, plus inherited xattrs');
  assert.deepEqual([b!.mode, b!.uid, b!.gid, b!.mtime, b!.xattrs], [0o1777, 5, 6, inherited.mtime, inherited.xattrs]);
});

test('entries that containerd refuses to unpack are rejected by name', { timeout: 10_000 }, () => {
  const long = 'n'.repeat(90);
  const cases: [string, RegExp, RawEntry[]][] = [
    ['a path through a file', /"a".*through a file/, [{ name: 'a' }, { name: 'a/b' }]],
    ['a deep path through a file', /"a\/b".*through a file/, [{ name: 'a' }, { name: 'a/b/c' }]],
    ['a cycle of symlinks', /"p".*circle/, [link('p', 'q'), link('q', 'p'), { name: 'p/b' }]],
    ['a link to a lower layer’s file', /"y" is a hard link to "x".*does not have/, [hardlink('y', 'x')]],
    ['a link before its target', /"y" is a hard link/, [hardlink('y', 'x'), { name: 'x' }]],
    ['a link to itself', /"x" is a hard link/, [{ name: 'x' }, hardlink('x', 'x')]],
    ['a link to a directory', /a directory/, [{ name: 'd/' }, hardlink('e', 'd')]],
    ['a directory replaced by a link', /"d" is replaced/, [{ name: 'd/' }, link('d', 'c/d')]],
    ['a directory replaced with its parent', /"d\/e" is replaced/, [{ name: 'd/' }, { name: 'd/e/' }, { name: 'd' }]],
    ['a whiteout without a name', /".wh." is a whiteout without a name/, [{ name: '.wh.' }]],
    ['a whiteout of the parent', /whiteout without a name/, [{ name: 'd/.wh...' }]],
    ['a name past NAME_MAX', /longer than Linux takes/, [{ name: 'x', pax: [['path', long.repeat(3)]] }]],
    ['a path past PATH_MAX', /longer than Linux takes/, [{ name: 'x', pax: [['path', `${long}/`.repeat(50)]] }]],
  ];
  for (const [what, message, entries] of cases) {
    assert.throws(() => results(entries), { code: 'malformed-layer', message }, what);
  }
});

test('replaying many entries that replace each other takes linear time', {
  timeout: 20_000,
}, () => {
  const entries: RawEntry[] = [];
  for (let round = 0; round < 300; round++) {
    entries.push({ name: 'd/' });
    for (let index = 0; index < 100; index++) entries.push({ name: `d/${index}` });
    entries.push({ name: 'd', content: 'x' });
  }
  assert.deepEqual(results(entries), ['reg d']);
});
