import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normaliseName, scanTar, type TarEntry } from './tar.ts';
import { paxOf, rawTar } from '../convert/testing/raw-tar.ts';
import { packTree } from '../convert/testing/source-tree.ts';

function pax(records: Readonly<Record<string, string>>): Buffer {
  return paxOf(Object.entries(records));
}

function scan(tar: Buffer): TarEntry[] {
  return [...scanTar((offset, length) => tar.subarray(offset, offset + length), tar.length)];
}

test('a pax header overrides the ustar header, and its bytes belong to the entry', {
  timeout: 10_000,
}, () => {
  const tar = rawTar(
    {
      name: 'PaxHeaders/x',
      type: 'x',
      content: pax({
        path: 'a/\xc3\xa4',
        size: '3',
        uid: '4000000',
        gid: '5',
        uname: 'u\xc3\xbc',
        mtime: '1.000000001',
        'SCHILY.xattr.user.k': '\x00\xff=\n',
      }),
    },
    { name: 'short', content: Buffer.from('abc'), fields: [[100, '0104755\0']] },
    { name: 'after', content: Buffer.from('x') },
  );
  const [entry, after] = scan(tar);
  assert.deepEqual(entry, {
    name: 'a/\xc3\xa4',
    type: 'reg',
    linkName: '',
    headerOffset: 0,
    headerSizeBytes: 1536,
    payloadOffset: 1536,
    sizeBytes: 3,
    extents: undefined,
    mode: 0o4755,
    uid: 4_000_000,
    gid: 5,
    userName: 'u\xc3\xbc',
    groupName: '',
    mtime: { sec: 1, nsec: 1 },
    devMajor: 0,
    devMinor: 0,
    xattrs: new Map([['user.k', '\x00\xff=\n']]),
  });
  assert.equal(after?.headerOffset, 2048);
  assert.equal(after?.xattrs, undefined);
});

test('times before 1970 have a non-negative nsec', { timeout: 10_000 }, () => {
  const times = ['-1.5', '-2', '0.25', '-0.000000001'].map((mtime) => {
    const tar = rawTar({ name: 'p', type: 'x', content: pax({ mtime }) }, { name: 'f' });
    return scan(tar)[0]!.mtime;
  });
  assert.deepEqual(times, [
    { sec: -2, nsec: 500_000_000 },
    { sec: -2, nsec: 0 },
    { sec: 0, nsec: 250_000_000 },
    { sec: -1, nsec: 999_999_999 },
  ]);
});

test('base-256 numbers are parsed, including negative ones', { timeout: 10_000 }, () => {
  const tar = rawTar({
    name: 'f',
    fields: [
      [108, Buffer.from('8000000000400001', 'hex')],
      [136, Buffer.from('ffffffffffffffffffffffff', 'hex')],
    ],
  });
  assert.equal(scan(tar)[0]!.uid, 0x400001);
  assert.equal(scan(tar)[0]!.mtime.sec, -1);
  const ids = rawTar({ name: 'p', type: 'x', content: pax({ uid: '4294967294', gid: '-1' }) }, { name: 'f' });
  assert.deepEqual([scan(ids)[0]!.uid, scan(ids)[0]!.gid], [0xffff_fffe, 0xffff_ffff], 'IDs wrap to 32 bits');
});

test('names use the ustar prefix, GNU long names and GNU long links', { timeout: 10_000 }, () => {
  const long = `${'d/'.repeat(80)}f`;
  const entries = scan(
    rawTar(
      { name: 'name', fields: [[345, 'some/prefix']] },
      { name: '././@LongLink', type: 'L', content: Buffer.from(`${long}\0`) },
      { name: '././@LongLink', type: 'K', content: Buffer.from(`${long}-target\0`) },
      { name: 'cut', type: '2' },
      {
        name: 'old',
        fields: [
          [257, 'ustar  \0'],
          [345, 'atime not a prefix'],
        ],
      },
    ),
  );
  assert.deepEqual(
    entries.map(({ name, linkName }) => [name, linkName]),
    [
      ['some/prefix/name', ''],
      [long, `${long}-target`],
      ['old', ''],
    ],
  );
  assert.equal(entries[1]!.headerSizeBytes, 5 * 512);
});

test('links, devices and directories have no payload, whatever their size field', { timeout: 10_000 }, () => {
  const size: [number, string] = [124, '00000001000\0'];
  const entries = scan(
    rawTar(
      { name: 'l', type: '1', fields: [size, [157, './x/../f']] },
      { name: 'c', type: '3', fields: [size, [329, '0000001\0'], [337, '0000003\0']] },
      { name: 'd/', type: '5', fields: [size] },
      { name: 'v7dir/', type: '\0', fields: [[257, '\0\0\0\0\0\0\0\0']] },
      { name: 'f', content: Buffer.from('1') },
    ),
  );
  assert.deepEqual(
    entries.map(({ name, type, sizeBytes, linkName }) => [name, type, sizeBytes, linkName]),
    [
      ['l', 'hardlink', 0, './x/../f'],
      ['c', 'char', 0, ''],
      ['d', 'dir', 0, ''],
      ['v7dir', 'dir', 0, ''],
      ['f', 'reg', 1, ''],
    ],
  );
  assert.deepEqual([entries[1]!.devMajor, entries[1]!.devMinor], [1, 3]);
});

test('pax global headers and volume labels are ignored and are not part of an entry', { timeout: 10_000 }, () => {
  const tar = rawTar(
    { name: 'pax_global_header', type: 'g', content: pax({ comment: 'commit', uid: '77' }) },
    { name: 'label', type: 'V' },
    { name: 'f' },
  );
  const [entry, ...others] = scan(tar);
  assert.deepEqual([entry?.name, entry?.uid, entry?.headerOffset, others.length], ['f', 0, 1536, 0]);
});

test('old GNU sparse files and unknown types are rejected by name, with a remedy', { timeout: 10_000 }, () => {
  const refused = { name: 'TarError', code: 'unsupported', message: /"holes".*tar --format=posix/ };
  assert.throws(() => scan(rawTar({ name: 'holes', type: 'S' })), refused);
  assert.throws(() => scan(rawTar({ name: 'holes', type: 'M' })), refused);
  const packed = packTree([{ kind: 'hole', path: 'holes', sizeBytes: 1 << 20 }], {
    format: 'gnu',
    extraArguments: ['--sparse'],
  });
  assert.throws(() => scan(packed), { code: 'unsupported', message: /old format, which containerd refuses too/ });
});

test('wrong checksums and lengths, truncation, lone zero blocks and huge headers are rejected', {
  timeout: 10_000,
}, () => {
  const good = rawTar({ name: 'p', type: 'x', content: pax({ path: 'n' }) }, { name: 'f', content: Buffer.alloc(600) });
  const flipped = Buffer.from(good);
  flipped[1024]! ^= 1;
  const huge = rawTar({ name: 'p', type: 'x', fields: [[124, '00100000000\0']] });
  const zeroBetween = Buffer.concat([Buffer.alloc(512), good]);
  const shortRecord = rawTar({ name: 'p', type: 'x', content: Buffer.from('99 path=n\n') }, { name: 'f' });
  const notOctal = rawTar({ name: 'f', fields: [[124, 'notanumber!\0']] });
  const huge256 = rawTar({ name: 'f', fields: [[124, Buffer.from('80ffffffffffffffffffffff', 'hex')]] });
  const negative = rawTar({ name: 'f', fields: [[124, Buffer.from('fffffffffffffffffffffff0', 'hex')]] });
  const damaged = { flipped, huge, zeroBetween, shortRecord, notOctal, huge256, negative };
  for (const [what, tar] of Object.entries(damaged)) {
    assert.throws(() => scan(tar), { code: 'malformed' }, what);
  }
  for (const cut of [100, 515, 1300, 2000, 2135]) {
    assert.throws(() => scan(good.subarray(0, cut)), { code: 'malformed' }, `cut at ${cut}`);
  }
});

test('a missing end, missing padding and an extension header without an entry are accepted, as by Go’s archive/tar', {
  timeout: 10_000,
}, () => {
  const header = { name: 'p', type: 'x', content: pax({ path: 'n' }) };
  const good = rawTar(header, { name: 'f', content: Buffer.alloc(600) });
  assert.equal(scan(good.subarray(0, good.length - 1024)).length, 1);
  assert.equal(scan(good.subarray(0, 2136)).length, 1);
  assert.equal(scan(good.subarray(0, 1024)).length, 0);
  const [entry] = scan(rawTar(header, { name: 'g', type: 'g', content: pax({ comment: 'c' }) }, { name: 'f' }));
  assert.equal(entry!.name, 'f', 'a global header discards the pax header before it');
});

test('names cannot escape the layer', { timeout: 10_000 }, () => {
  const cases: [string, string][] = [
    ['./', ''],
    ['/etc//passwd/', 'etc/passwd'],
    ['../../a/./b/../c', 'a/c'],
    ['..', ''],
    ['a/...', 'a/...'],
  ];
  for (const [raw, clean] of cases) assert.equal(normaliseName(raw), clean);
});
