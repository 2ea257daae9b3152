import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CanonicalEntry } from './canonical-entries.ts';
import { cutFiles } from './cuts.ts';
import { planMembers } from './members.ts';
import type { TarEntry } from '../tar/tar.ts';
import { emptyFile } from '../tar/tar-header.ts';

const limit = { timeout: 10_000 };
const kib = 1024;

function fileOf(name: string, sizeBytes: number): TarEntry {
  return { ...emptyFile, name, sizeBytes, type: 'reg' };
}

/** A large file that is not read leaves room for many cuts. */
const filler = fileOf('filler', 2 ** 32);

function cutsOf(file: TarEntry, ranges: readonly (readonly [number, number])[], more: TarEntry[] = [filler]) {
  const entries: CanonicalEntry[] = [file, ...more].map((entry) => ({ entry, rewritten: false }));
  const read = ranges.map(([start, end]) => ({ start, end }));
  return cutFiles(entries, new Map([[file.name, read]])).get(file);
}

test('a file is cut at the pages around what was read, unless little lies between', limit, () => {
  const file = fileOf('a', 1000 * kib);
  const ranges = [
    [300 * kib + 1, 301 * kib],
    [120 * kib, 128 * kib],
    [340 * kib, 350 * kib],
  ] as const;
  assert.deepEqual(cutsOf(file, ranges), [120 * kib, 128 * kib, 300 * kib, 352 * kib]);
});

test('what lies at the ends of a file is no reason for a cut if it is little', limit, () => {
  const file = fileOf('a', 1000 * kib);
  assert.equal(cutsOf(file, [[20 * kib, 960 * kib]]), undefined);
  assert.deepEqual(cutsOf(file, [[20 * kib, 700 * kib]]), [700 * kib]);
  assert.deepEqual(cutsOf(file, [[700 * kib, 2000 * kib]]), [700 * kib]);
});

test('gaps are left in where cutting them all out would let the layer grow', limit, () => {
  const file = fileOf('a', 100_000 * kib);
  const every = (step: number) =>
    Array.from({ length: 100_000 / step }, (_, at) => [at * step * kib, at * step * kib + 1] as const);
  const alone = cutsOf(file, every(100), []);
  assert.equal(alone, undefined);
  assert.ok(cutsOf(file, every(100))!.length > 1000);
});

test('a hard link’s ranges are those of its target', limit, () => {
  const target = fileOf('target', 1000 * kib);
  const link: TarEntry = { ...emptyFile, name: 'link', type: 'hardlink', linkName: 'target' };
  const entries = [target, link, filler].map((entry) => ({ entry, rewritten: false }));
  const cuts = cutFiles(entries, new Map([['link', [{ start: 0, end: 4 * kib }]]]));
  assert.deepEqual([...cuts], [[target, [4 * kib]]]);
});

test('chunks end at cuts and at the chunk size, and a cut file shares no member', limit, () => {
  const small = { entry: fileOf('small', 100) };
  const cut = { entry: fileOf('cut', 10_000), cuts: [4096, 8192] };
  const options = { chunkSizeBytes: 3000, minChunkSizeBytes: 1 << 20 };
  const members = [...planMembers([small, cut, small], options)].filter(({ chunks }) => chunks.length > 0);
  assert.deepEqual(
    members.map(({ chunks }) =>
      chunks.map(({ file, fileOffset, sizeBytes }) => [file.entry.name, fileOffset, sizeBytes]),
    ),
    [
      [['small', 0, 100]],
      [['cut', 0, 3000]],
      [['cut', 3000, 1096]],
      [['cut', 4096, 3000]],
      [['cut', 7096, 1096]],
      [['cut', 8192, 1808]],
      [['small', 0, 100]],
    ],
  );
});
