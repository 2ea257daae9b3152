import assert from 'node:assert/strict';
import { test } from 'node:test';
import { orderEntries } from './order.ts';
import type { TarEntry, TarEntryType } from './tar.ts';

let offset = 0;

function entry(name: string, type: TarEntryType = 'reg', linkName = ''): TarEntry {
  return {
    name,
    type,
    linkName,
    headerOffset: offset++,
    headerSizeBytes: 512,
    payloadOffset: 0,
    sizeBytes: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    userName: '',
    groupName: '',
    mtime: { sec: 0, nsec: 0 },
    devMajor: 0,
    devMinor: 0,
    xattrs: undefined,
  };
}

function names({ first, rest }: ReturnType<typeof orderEntries>): [string[], string[]] {
  return [first.map(({ name }) => name), rest.map(({ name }) => name)];
}

const tree = (): TarEntry[] => [
  entry('', 'dir'),
  entry('a', 'dir'),
  entry('a/1'),
  entry('b', 'dir'),
  entry('b/c', 'dir'),
  entry('b/c/2'),
  entry('b/3'),
  entry('link', 'hardlink', 'b/c/2'),
  entry('link2', 'hardlink', 'link'),
];

test('prioritised files come first in the given order, parents and link targets before them, none twice', {
  timeout: 10_000,
}, () => {
  const [first, rest] = names(orderEntries(tree(), ['/b/3', 'link2', './b/c/2', 'b/3', 'a']));
  assert.deepEqual(first, ['', 'b', 'b/3', 'b/c', 'b/c/2', 'link', 'link2', 'a']);
  assert.deepEqual(rest, ['a/1']);
});

test('paths that the layer has not are passed over', { timeout: 10_000 }, () => {
  const [first, rest] = names(orderEntries(tree(), ['nowhere', 'b/nowhere', '']));
  assert.deepEqual(first, []);
  assert.equal(rest.length, 9);
});

test('an earlier conversion’s landmarks and TOC are dropped, at the root only', { timeout: 10_000 }, () => {
  const old = ['.prefetch.landmark', '.no.prefetch.landmark', 'stargz.index.json', 'x/stargz.index.json'];
  assert.deepEqual(
    names(
      orderEntries(
        old.map((name) => entry(name)),
        [],
      ),
    )[1],
    ['x/stargz.index.json'],
  );
});

test('of entries with one name the last counts; a directory keeps its place before its children', {
  timeout: 10_000,
}, () => {
  const again = entry('d', 'dir');
  const replaced = entry('f');
  const { rest } = orderEntries([entry('d', 'dir'), entry('f'), entry('d/x'), again, replaced], []);
  assert.deepEqual(
    rest.map(({ name }) => name),
    ['d', 'd/x', 'f'],
  );
  assert.deepEqual([rest[0], rest[2]], [again, replaced]);
});

test('a file replaced after it was linked to is refused: its first content has no name left', {
  timeout: 10_000,
}, () => {
  const entries = [entry('f'), entry('l', 'hardlink', 'f'), entry('f')];
  assert.throws(() => orderEntries(entries, []), { code: 'unsupported-layer', message: /"f".*"l"/ });
});

test('a circle of hard links ends', { timeout: 20_000 }, () => {
  const count = 5_000;
  const circle = Array.from({ length: count }, (_, i) => entry(`l${i}`, 'hardlink', `l${(i + 1) % count}`));
  assert.equal(orderEntries(circle, ['l0']).first.length, count);
});

test('names that are not ASCII are found by their ordinary spelling', { timeout: 10_000 }, () => {
  const name = Buffer.from('ü/日本', 'utf8').toString('latin1');
  assert.deepEqual(names(orderEntries([entry(name)], ['ü/日本']))[0], [name]);
});
