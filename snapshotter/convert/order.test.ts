import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CanonicalEntry, canonicalEntries } from './canonical-entries.ts';
import { orderEntries } from './order.ts';
import { replayLayer } from './replay.ts';
import { type RawEntry, rawTar } from './testing/raw-tar.ts';
import { scanTar } from '../tar/tar.ts';

function entriesOf(...entries: readonly RawEntry[]): CanonicalEntry[] {
  const tar = rawTar(...entries);
  const replay = replayLayer(false);
  for (const entry of scanTar((offset, length) => tar.subarray(offset, offset + length), tar.length))
    replay.apply(entry);
  return [...canonicalEntries(replay.finish())];
}

function names({ first, rest }: ReturnType<typeof orderEntries>): [string[], string[]] {
  return [first.map(({ entry }) => entry.name), rest.map(({ entry }) => entry.name)];
}

const tree = (): CanonicalEntry[] =>
  entriesOf(
    { name: './' },
    { name: 'a/' },
    { name: 'a/1' },
    { name: 'b/' },
    { name: 'b/c/' },
    { name: 'b/c/2' },
    { name: 'b/3' },
    { name: 'link', type: '1', linkName: 'b/c/2' },
    { name: 'link2', type: '1', linkName: 'link' },
  );

test('prioritised files come first in the given order, once each, after their parents and link targets', {
  timeout: 10_000,
}, () => {
  const [first, rest] = names(orderEntries(tree(), ['/b/3', 'link2', './b/c/2', 'b/3', 'a']));
  assert.deepEqual(first, ['', 'b', 'b/3', 'b/c', 'b/c/2', 'link2', 'a']);
  assert.deepEqual(rest, ['a/1', 'link']);
});

test('paths that the layer does not have are ignored', { timeout: 10_000 }, () => {
  const [first, rest] = names(orderEntries(tree(), ['nowhere', 'b/nowhere', '']));
  assert.deepEqual(first, []);
  assert.equal(rest.length, 9);
});

test('an opaque whiteout moves with its directory, before the directory’s content', { timeout: 10_000 }, () => {
  const entries = entriesOf({ name: 'd/' }, { name: 'd/f' }, { name: 'd/g' }, { name: 'd/.wh..wh..opq' });
  assert.deepEqual(names(orderEntries(entries, ['d/g'])), [['d', 'd/.wh..wh..opq', 'd/g'], ['d/f']]);
});

test('names that are not ASCII are matched in UTF-8', { timeout: 10_000 }, () => {
  const name = Buffer.from('日本', 'utf8').toString('latin1');
  assert.deepEqual(names(orderEntries(entriesOf({ name }), ['日本']))[0], [name]);
});
