import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FormatError, type FormatErrorCode } from '../estargz/error.ts';
import { buildInodeTable } from './build.ts';
import { findPath } from './lookup.ts';
import { buildTree, chunk, contentDigest, dir, file, type JsonEntry } from './testing/toc-json.ts';

/** That the entries are refused with this code, in a message that names `entry` and matches `message`. */
function refuses(
  entries: readonly JsonEntry[],
  code: FormatErrorCode,
  entry: string | undefined,
  message: RegExp,
): void {
  assert.throws(
    () => buildTree(entries, { compression: 'gzip' }),
    (error) => {
      assert.ok(error instanceof FormatError, String(error));
      assert.equal(error.code, code);
      assert.equal(error.entry, entry);
      assert.match(error.message, message);
      return true;
    },
  );
}

describe('hostile TOCs', { timeout: 60_000 }, () => {
  test('names with leading .. stay within the root', () => {
    const { table } = buildTree([file('../../../../etc/passwd', 0, 0), file('a/../../b', 0, 0), dir('..')]);
    assert.ok(findPath(table, 'etc/passwd') > 0);
    assert.ok(findPath(table, 'b') > 0);
    assert.equal(table.inodeCount, 4);
  });

  test('a name with a NUL byte is refused', () => {
    refuses([file('a\0b', 0, 0)], 'name', 'a\0b', /NUL/);
    refuses([file('x/a\0/b', 0, 0)], 'name', 'x/a\0/b', /"x\/a\\u0000\/b".*NUL/);
  });

  test('a component of more than 255 bytes is refused, one of 255 is not', () => {
    refuses([file(`d/${'x'.repeat(256)}`, 0, 0)], 'name', `d/${'x'.repeat(256)}`, /256 bytes \(limit 255\)/);
    refuses([file('é'.repeat(128), 0, 0)], 'name', 'é'.repeat(128), /256 bytes/);
    assert.ok(findPath(buildTree([file('x'.repeat(255), 0, 0)]).table, 'x'.repeat(255)) > 0);
  });

  test('a path of more than 4095 bytes is refused, one of 4095 is not', () => {
    const longest = `${'d/'.repeat(2047)}f`;
    assert.equal(longest.length, 4095);
    assert.ok(findPath(buildTree([file(longest, 0, 0)]).table, longest) > 0);
    assert.throws(() => buildTree([file(`${longest}f`, 0, 0)]), /longer than 4095 bytes/);
    assert.throws(() => buildTree([file(longest, 0, 0), file(`${longest}f`, 0, 0)]), /longer than 4095 bytes/);
    assert.ok(findPath(buildTree([file(`${'./'.repeat(5000)}x`, 0, 0)]).table, 'x') > 0);
  });

  test('entries for the root change nothing, whatever their type', () => {
    const entries = [
      dir('./', { mode: 0o700, uid: 5, xattrs: { 'user.x': 'eA==' } }),
      file('', 10, 100),
      { name: '..', type: 'symlink', linkName: 'x' },
    ];
    const { table } = buildTree(entries);
    assert.deepEqual([table.inodeCount, table.xattrCount, table.dataSizeBytes], [1, 0, 0]);
    assert.deepEqual([table.mode[1], table.uid[1]], [0o040755, 0]);
  });

  test('a file below a file is refused', () => {
    refuses([file('a', 0, 0), file('a/b', 0, 0)], 'name', 'a/b', /below "a", which is not a directory/);
    refuses([file('a', 0, 0), file('a/b/c', 0, 0)], 'name', 'a/b/c', /below "a", which is not a directory/);
    refuses(
      [file('a', 0, 0), { name: 'l', type: 'symlink', linkName: 'a' }, file('l/b', 0, 0)],
      'name',
      'l/b',
      /not a directory/,
    );
  });

  test('names through a loop of symbolic links are refused', () => {
    const link = (name: string, linkName: string): JsonEntry => ({ name, type: 'symlink', linkName });
    refuses([link('a', 'a'), file('a/b', 0, 0)], 'name', 'a', /too many symbolic links/);
    refuses([link('a', 'b/x'), link('b', 'a/y'), file('a/b', 0, 0)], 'name', undefined, /too many symbolic links/);
    refuses(
      [link('a', `b/${'x'.repeat(200)}`), link('b', 'a'), file('a/b', 0, 0)],
      'name',
      undefined,
      /symbolic links/,
    );
  });

  test('the work of following symbolic links is limited', () => {
    const entries: JsonEntry[] = [];
    for (let index = 0; index < 200; index++)
      entries.push({ name: `l${index}`, type: 'symlink', linkName: `${'d/'.repeat(1000)}../l${index + 1}` });
    for (let index = 0; index < 10_000; index++) entries.push({ name: `l0/s${index}`, type: 'symlink', linkName: 'x' });
    refuses(entries, 'limit', undefined, /too many symbolic links/);
  });

  test('a whiteout of nothing, of itself or of its parent is refused', () => {
    for (const name of ['d/.wh.', 'd/.wh..', 'd/.wh...'])
      refuses([file(name, 0, 0)], 'name', name, /whiteout that names nothing/);
  });

  test('files below a landmark are hidden; those below a marker are not, as when unpacked', () => {
    const { table } = buildTree([
      dir('.prefetch.landmark'),
      file('.prefetch.landmark/y', 0, 0),
      dir('.wh.x'),
      file('.wh.x/y', 0, 0),
    ]);
    assert.ok(findPath(table, '.wh.x/y') > 0);
    assert.equal(table.mode[findPath(table, 'x')], 0o020000);
    assert.equal(table.inodeCount, 4);
  });

  test('a chain of 100,000 hard links is one file', () => {
    const chain: JsonEntry[] = [file('0', 0, 0)];
    for (let index = 1; index <= 100_000; index++)
      chain.push({ name: `${index}`, type: 'hardlink', linkName: `${index - 1}` });
    const { table } = buildTree(chain);
    assert.equal(table.inodeCount, 2);
    assert.equal(table.nlink[2], 100_001);
  });

  test('hard links to missing files, directories, hidden or whited-out names are refused', () => {
    const link = (linkName: string): JsonEntry => ({ name: 'l', type: 'hardlink', linkName });
    refuses([link('missing')], 'link', 'l', /does not have by then \(target "missing"\)/);
    refuses([link('later'), file('later', 0, 0)], 'link', 'l', /does not have by then/);
    refuses([link('l')], 'link', 'l', /does not have by then/);
    refuses([file('l', 0, 0), link('l')], 'link', 'l', /does not have by then/);
    refuses([dir('d'), link('d')], 'link', 'l', /directory/);
    refuses([file('d/f', 0, 0), link('d')], 'link', 'l', /directory/);
    refuses([link('/')], 'link', 'l', /directory/);
    refuses([file('.prefetch.landmark', 1, 10), link('.prefetch.landmark')], 'link', 'l', /what a mount hides/);
    refuses([file('.wh.x', 0, 0), link('.wh.x')], 'link', 'l', /does not have by then/);
    refuses([{ name: 'l', type: 'hardlink' }], 'link', 'l', /without a target/);
  });

  test('a whiteout after an entry that it names is refused, as by unpacking', () => {
    refuses([file('x', 0, 0), file('.wh.x', 0, 0)], 'name', '.wh.x', /has put there before/);
    refuses([file('d/new', 0, 0), file('.wh.d', 0, 0)], 'name', '.wh.d', /has put there before/);
  });

  test('symbolic links need a target that the kernel accepts', () => {
    refuses([{ name: 'l', type: 'symlink' }], 'link', 'l', /without a target/);
    refuses([{ name: 'l', type: 'symlink', linkName: 'a\0b' }], 'link', 'l', /NUL/);
    refuses([{ name: 'l', type: 'symlink', linkName: 'x'.repeat(4096) }], 'link', 'l', /4096 bytes \(limit 4095\)/);
    buildTree([{ name: 'l', type: 'symlink', linkName: '../../../../escapes/only/when/followed' }]);
  });

  test('negative and impossible numbers are refused', () => {
    const bad: readonly (readonly [object, FormatErrorCode, RegExp])[] = [
      [{ size: -1 }, 'entry', /size -1/],
      [{ size: 2 ** 44 + 1 }, 'entry', /size/],
      [{ size: 2 ** 53 - 1 }, 'entry', /size/],
      [{ mode: -1 }, 'entry', /mode -1/],
      [{ mode: 2 ** 32 }, 'entry', /mode/],
      [{ uid: -1 }, 'entry', /uid -1/],
      [{ uid: 2 ** 32 - 1 }, 'entry', /uid/],
      [{ gid: 2 ** 40 }, 'entry', /gid/],
      [{ modtime: 'yesterday' }, 'entry', /modtime "yesterday"/],
      [{ modtime: '2023-02-29T00:00:00Z' }, 'entry', /modtime/],
      [{ offset: -5 }, 'chunk', /offset -5/],
      [{ innerOffset: -5 }, 'chunk', /inner offset -5/],
      [{ innerOffset: 2 ** 50 }, 'chunk', /inner offset/],
      [{ chunkSize: -5 }, 'chunk', /chunk of -5 bytes/],
      [{ chunkOffset: -5 }, 'chunk', /chunk at -5/],
    ];
    for (const [fields, code, message] of bad) refuses([file('f', 100, 10, fields)], code, 'f', message);
    refuses([{ name: 'c', type: 'char', devMajor: 4096 }], 'entry', 'c', /device number 4096:0/);
    refuses([{ name: 'c', type: 'block', devMinor: -1 }], 'entry', 'c', /device number 0:-1/);
  });

  test('numbers that are not JSON, or not exact in a double, are refused by the scanner', () => {
    for (const number of ['NaN', 'Infinity', '1e400', '1e3', '99999999999999999999', '0x10', '"5"']) {
      const json = Buffer.from(`{"entries":[{"name":"f","type":"reg","size":${number}}]}`);
      assert.throws(() => buildInodeTable(json, { payloadEnd: 10, opaqueXattr: 'trusted' }), FormatError, number);
    }
  });

  test('content beyond the blob is refused', () => {
    refuses([file('f', 100, 1_000_000)], 'chunk', 'f', /offset 1000000 .* blob of 1000000 bytes/);
    refuses([file('f', 100, 2 ** 52)], 'chunk', 'f', /offset/);
    refuses([file('f', 100, 0, { offset: 0 })], 'chunk', 'f', /offset 0 \(inner offset 0\)/);
    refuses([file('f', 100, 0, { offset: undefined })], 'chunk', 'f', /offset 0/);
  });

  test('chunks that leave a gap, overlap, go past the end or stop before it are refused', () => {
    const first = file('f', 100, 10, { chunkSize: 40 });
    refuses([first, chunk('f', 20, 50, 50)], 'chunk', 'f', /chunk at 50 leaves a gap; 40 is next/);
    refuses([first, chunk('f', 20, 30, 70)], 'chunk', 'f', /chunk at 30 overlaps the one before it; 40 is next/);
    refuses([first, chunk('f', 20, 40, 61)], 'chunk', 'f', /61 bytes where 60 are left/);
    refuses([first, chunk('f', 20, 40, 59)], 'chunk', 'f', /cover 99 of 100 bytes/);
    refuses([first], 'chunk', 'f', /cover 40 of 100 bytes/);
    refuses([first, dir('d')], 'chunk', 'f', /cover 40 of 100 bytes/);
    refuses([first, chunk('f', 20, 40, 60), chunk('f', 30, 100, 0)], 'chunk', 'f', /0 bytes where 0 are left/);
    refuses([file('f', 100, 10, { chunkOffset: 20 })], 'chunk', 'f', /gap/);
    refuses([file('f', 100, 10, { chunkSize: 101 })], 'chunk', 'f', /101 bytes where 100 are left/);
  });

  test('a chunk without a file or of another file is refused', () => {
    refuses([chunk('f', 10, 0, 5)], 'chunk', 'f', /follows no regular file/);
    refuses([dir('d'), chunk('d', 10, 0, 5)], 'chunk', 'd', /follows no regular file/);
    refuses([file('f', 0, 0), chunk('f', 10, 0, 5)], 'chunk', 'f', /follows no regular file/);
    refuses([file('f', 100, 10, { chunkSize: 40 }), chunk('g', 20, 40, 60)], 'chunk', 'g', /among those of "f"/);
    buildTree([file('./f', 100, 10, { chunkSize: 40 }), chunk('/f', 20, 40, 60)]);
    buildTree([file('f', 100, 10, { chunkSize: 40 }), { type: 'chunk', offset: 20, chunkOffset: 40, chunkSize: 60 }]);
  });

  test('overlapping chunks of two files in a member are refused', () => {
    refuses([file('a', 100, 10), file('b', 100, 10)], 'chunk', 'b', /overlaps another chunk/);
    refuses([file('a', 100, 10), file('b', 100, 10, { innerOffset: 99 })], 'chunk', 'b', /overlaps another chunk/);
    buildTree([file('a', 100, 10), file('b', 100, 10, { innerOffset: 100 })]);
  });

  test('content that a gzip member of that size cannot hold is refused, and so is more than 1 GiB per member', () => {
    refuses(
      [file('bomb', 500_000_000, 10), file('next', 5, 20)],
      'chunk',
      'bomb',
      /10 compressed bytes, more than that can hold/,
    );
    refuses([file('f', 2 ** 31, 10)], 'limit', 'f', /2147483648 bytes into its member/);
    refuses([file('f', 100, 10, { innerOffset: 2 ** 30 })], 'limit', 'f', /into its member/);
  });

  test('content that a zstd frame of that size cannot hold is refused', () => {
    const bomb = (sizeBytes: number): JsonEntry[] => [file('bomb', sizeBytes, 10), file('next', 5, 20)];
    buildTree(bomb(10 * 32_768), { compression: 'zstd' });
    assert.throws(
      () => buildTree(bomb(10 * 32_768 + 1), { compression: 'zstd' }),
      /10 compressed bytes, more than that can hold/,
    );
  });

  test('a layer larger than the maximum file size is refused', () => {
    const chunkSize = 2 ** 30;
    const entries: JsonEntry[] = [];
    for (let at = 0; at < 16_384 + 1; at++) {
      entries.push(file(`f${at}`, chunkSize, 10 + at * 20));
    }
    assert.throws(
      () => buildTree(entries),
      (error) => error instanceof FormatError && error.code === 'limit' && error.entry === 'f16384',
    );
  });

  test('digests of another algorithm or form are refused', () => {
    const forms = [
      'sha512:00',
      'sha256:',
      `sha256:${'g'.repeat(64)}`,
      contentDigest.slice(0, -1),
      `${contentDigest}0`,
      `SHA256:${contentDigest.slice(7)}`,
    ];
    for (const chunkDigest of forms)
      refuses([file('f', 10, 10, { chunkDigest })], 'unsupported', 'f', /is not a sha256/);
  });

  test('holes of containers/storage are refused, not served from offset 0', () => {
    refuses([file('f', 10, 10, { chunkType: 'zeros' })], 'unsupported', 'f', /zeros/);
  });

  test('extended attributes over the kernel’s limits are refused', () => {
    const withXattr = (name: string, value: unknown): JsonEntry[] => [file('f', 0, 0, { xattrs: { [name]: value } })];
    refuses(withXattr('', 'eA=='), 'entry', 'f', /impossible name/);
    refuses(withXattr('user.\0', 'eA=='), 'entry', 'f', /impossible name/);
    refuses(withXattr('user.'.padEnd(256, 'x'), 'eA=='), 'entry', 'f', /impossible name/);
    for (const value of ['e', 'eA=', 'eB==', 'e A=', '~~~~', 'eA==\n'])
      refuses(withXattr('user.x', value), 'entry', 'f', /not base64/);
    refuses(withXattr('user.x', Buffer.alloc(65_537).toString('base64')), 'limit', 'f', /65537 bytes/);
    buildTree(withXattr('user.x', Buffer.alloc(65_536).toString('base64')));
  });

  test('too many implied directories are refused, however small the JSON', () => {
    const entries: JsonEntry[] = [];
    for (let index = 0; index < 2200; index++) entries.push(file(`${index}/${'d/'.repeat(2040)}f`, 0, 0));
    refuses(entries, 'limit', undefined, /more than 4194304 files and directories/);
  });

  test('long and unprintable names are shortened and escaped in messages', () => {
    assert.throws(
      () => buildTree([file(`\u001b[31m${'x/'.repeat(3000)}`, 0, 0)]),
      (error) => error instanceof FormatError && error.message.length < 300 && !error.message.includes('\u001b'),
    );
  });
});
