import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalEntries } from './canonical-entries.ts';
import { inheritInto, replayLayer } from './replay.ts';
import { scanTar } from './tar.ts';
import { type RawEntry, rawTar } from './testing/raw-tar.ts';

function replay(entries: readonly RawEntry[], lowest = false) {
  const tar = rawTar(...entries);
  const replaying = replayLayer(lowest);
  const scan = scanTar((offset, length) => tar.subarray(offset, offset + length), tar.length);
  for (const entry of scan) replaying.apply(entry);
  return replaying.finish();
}

/** Name, type and, with an asterisk, whether a header is written for it. */
function results(entries: readonly RawEntry[], lowest = false): string[] {
  return [...canonicalEntries(replay(entries, lowest))].map(
    ({ entry, rewritten }) => `${entry.type} ${entry.name}${rewritten ? '*' : ''}`,
  );
}

const link = (name: string, linkName: string): RawEntry => ({ name, type: '2', linkName });
const hardlink = (name: string, linkName: string): RawEntry => ({ name, type: '1', linkName });

test('an ordinary layer keeps its entries, their order and their headers', { timeout: 10_000 }, () => {
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

test('a directory that is whited out after it came, or only implied behind its whiteout, is opaque', {
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
    'it takes nothing from what it hides',
  );
});

test('a directory entry replaces an earlier whiteout, as in containerd with overlayfs', {
  timeout: 10_000,
}, () => {
  assert.deepEqual(results([{ name: '.wh.d' }, { name: 'd/' }, { name: 'd/new' }]), ['dir d', 'reg d/new']);
});

test('a whiteout next to a file of that name, or a repeated one, leaves one entry', { timeout: 10_000 }, () => {
  assert.deepEqual(results([{ name: '.wh.f' }, { name: 'f' }]), ['reg f']);
  assert.deepEqual(results([{ name: 'f' }, { name: '.wh.f' }]), ['reg f']);
  assert.deepEqual(results([{ name: '.wh.f' }, { name: '.wh.f' }]), ['reg .wh.f']);
});

test('in the lowest layer whiteouts remove earlier entries and leave nothing', { timeout: 10_000 }, () => {
  const entries = [{ name: 'a/b' }, { name: '.wh.a' }, { name: 'c' }, { name: '.wh.d' }];
  assert.deepEqual(results(entries, true), ['reg c']);
});

test('when a hard link’s target is replaced, the first remaining link becomes the file', { timeout: 10_000 }, () => {
  const entries: RawEntry[] = [
    { name: 'a', content: 'first' },
    hardlink('b', 'a'),
    hardlink('c', 'a'),
    { name: 'a', content: 'second' },
  ];
  assert.deepEqual(results(entries), ['reg b*', 'hardlink c*', 'reg a']);
});

test('a trailing slash in a hard link’s target follows symbolic links', { timeout: 10_000 }, () => {
  assert.deepEqual(results([{ name: 'a' }, link('l', 'a'), hardlink('b', 'a/'), hardlink('c', 'l/')]), [
    'reg a',
    'symlink l',
    'hardlink b',
    'hardlink c*',
  ]);
});

test('implied directories are reported and take the attributes of the layers below', {
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
  assert.deepEqual([a!.mode, a!.uid, a!.xattrs], [0o700, 0, inherited.xattrs], 'its own entry, over copied xattrs');
  assert.deepEqual([b!.mode, b!.uid, b!.gid, b!.mtime, b!.xattrs], [0o1777, 5, 6, inherited.mtime, inherited.xattrs]);
});

test('layers that containerd does not unpack are refused in one line that names the entry', { timeout: 10_000 }, () => {
  const long = 'n'.repeat(90);
  const cases: [string, RegExp, RawEntry[]][] = [
    ['a path through a file', /"a".*through a file/, [{ name: 'a' }, { name: 'a/b' }]],
    ['a deep path through a file', /"a\/b".*through a file/, [{ name: 'a' }, { name: 'a/b/c' }]],
    ['a circle of links', /"p".*circle/, [link('p', 'q'), link('q', 'p'), { name: 'p/b' }]],
    ['a link to a lower layer’s file', /"y" is a hard link to "x".*does not have/, [hardlink('y', 'x')]],
    ['a link before its target', /"y" is a hard link/, [hardlink('y', 'x'), { name: 'x' }]],
    ['a link to itself', /"x" is a hard link/, [{ name: 'x' }, hardlink('x', 'x')]],
    ['a link to a directory', /a directory/, [{ name: 'd/' }, hardlink('e', 'd')]],
    ['a directory replaced by a link', /"d" is replaced/, [{ name: 'd/' }, link('d', 'c/d')]],
    ['a directory gone with its parent', /"d\/e" is replaced/, [{ name: 'd/' }, { name: 'd/e/' }, { name: 'd' }]],
    ['a whiteout without a name', /".wh." is a whiteout without a name/, [{ name: '.wh.' }]],
    ['a whiteout of the parent', /whiteout without a name/, [{ name: 'd/.wh...' }]],
    ['a name past NAME_MAX', /longer than Linux takes/, [{ name: 'x', pax: [['path', long.repeat(3)]] }]],
    ['a path past PATH_MAX', /longer than Linux takes/, [{ name: 'x', pax: [['path', `${long}/`.repeat(50)]] }]],
  ];
  for (const [what, message, entries] of cases) {
    assert.throws(() => results(entries), { code: 'malformed-layer', message }, what);
  }
});

test('replaying entries that replace each other takes linear time', {
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
