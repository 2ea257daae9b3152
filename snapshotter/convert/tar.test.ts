import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normaliseName, scanTar, type TarEntry } from './tar.ts';
import { packTree } from './testing/source-tree.ts';

interface Block {
  readonly name: string;
  readonly type?: string;
  readonly payload?: Buffer;
  readonly fields?: readonly (readonly [number, string | Buffer])[];
}

/** A tar from header fields by offset, checksums filled in. */
function tarOf(...blocks: readonly Block[]): Buffer {
  const pieces: Buffer[] = [];
  for (const { name, type = '0', payload = Buffer.alloc(0), fields = [] } of blocks) {
    const header = Buffer.alloc(512);
    header.write(name, 0, 'latin1');
    header.write('0000644\0', 100);
    header.write(`${payload.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('00000000017\0', 136);
    header.write(type, 156, 'latin1');
    header.write('ustar\x0000', 257, 'latin1');
    for (const [offset, value] of fields) {
      if (typeof value === 'string') header.write(value, offset, 'latin1');
      else value.copy(header, offset);
    }
    header.write('        ', 148);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    pieces.push(header, payload, Buffer.alloc((512 - (payload.length % 512)) % 512));
  }
  return Buffer.concat([...pieces, Buffer.alloc(1024)]);
}

function pax(records: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const body = Buffer.from(` ${key}=${value}\n`, 'latin1');
    let length = body.length + 1;
    while (String(length).length + body.length !== length) length++;
    return Buffer.concat([Buffer.from(String(length)), body]);
  });
  return Buffer.concat(lines);
}

function scan(tar: Buffer): TarEntry[] {
  return [...scanTar((offset, length) => tar.subarray(offset, offset + length), tar.length)];
}

test('a pax header overrides what the ustar header says, and its bytes count as the entry’s', {
  timeout: 10_000,
}, () => {
  const tar = tarOf(
    {
      name: 'PaxHeaders/x',
      type: 'x',
      payload: pax({
        path: 'a/\xc3\xa4',
        size: '3',
        uid: '4000000',
        gid: '5',
        uname: 'u\xc3\xbc',
        mtime: '1.000000001',
        'SCHILY.xattr.user.k': '\x00\xff=\n',
      }),
    },
    { name: 'short', payload: Buffer.from('abc'), fields: [[100, '0104755\0']] },
    { name: 'after', payload: Buffer.from('x') },
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

test('times before 1970 keep their fraction on the right side', { timeout: 10_000 }, () => {
  const times = ['-1.5', '-2', '0.25', '-0.000000001'].map((mtime) => {
    const tar = tarOf({ name: 'p', type: 'x', payload: pax({ mtime }) }, { name: 'f' });
    return scan(tar)[0]!.mtime;
  });
  assert.deepEqual(times, [
    { sec: -2, nsec: 500_000_000 },
    { sec: -2, nsec: 0 },
    { sec: 0, nsec: 250_000_000 },
    { sec: -1, nsec: 999_999_999 },
  ]);
});

test('base-256 numbers are read, negative ones too', { timeout: 10_000 }, () => {
  const tar = tarOf({
    name: 'f',
    fields: [
      [108, Buffer.from('8000000000400001', 'hex')],
      [136, Buffer.from('ffffffffffffffffffffffff', 'hex')],
    ],
  });
  assert.equal(scan(tar)[0]!.uid, 0x400001);
  assert.equal(scan(tar)[0]!.mtime.sec, -1);
});

test('the ustar prefix, GNU long names and GNU long links make up names', { timeout: 10_000 }, () => {
  const long = `${'d/'.repeat(80)}f`;
  const entries = scan(
    tarOf(
      { name: 'name', fields: [[345, 'some/prefix']] },
      { name: '././@LongLink', type: 'L', payload: Buffer.from(`${long}\0`) },
      { name: '././@LongLink', type: 'K', payload: Buffer.from(`${long}-target\0`) },
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

test('links, devices and directories have no payload whatever their size field says', { timeout: 10_000 }, () => {
  const size: [number, string] = [124, '00000001000\0'];
  const entries = scan(
    tarOf(
      { name: 'l', type: '1', fields: [size, [157, './x/../f']] },
      { name: 'c', type: '3', fields: [size, [329, '0000001\0'], [337, '0000003\0']] },
      { name: 'd/', type: '5', fields: [size] },
      { name: 'v7dir/', type: '\0', fields: [[257, '\0\0\0\0\0\0\0\0']] },
      { name: 'f', payload: Buffer.from('1') },
    ),
  );
  assert.deepEqual(
    entries.map(({ name, type, sizeBytes, linkName }) => [name, type, sizeBytes, linkName]),
    [
      ['l', 'hardlink', 0, 'f'],
      ['c', 'char', 0, ''],
      ['d', 'dir', 0, ''],
      ['v7dir', 'dir', 0, ''],
      ['f', 'reg', 1, ''],
    ],
  );
  assert.deepEqual([entries[1]!.devMajor, entries[1]!.devMinor], [1, 3]);
});

test('pax global headers and volume labels apply to nothing and are no part of an entry', { timeout: 10_000 }, () => {
  const tar = tarOf(
    { name: 'pax_global_header', type: 'g', payload: pax({ comment: 'commit', uid: '77' }) },
    { name: 'label', type: 'V' },
    { name: 'f' },
  );
  const [entry, ...others] = scan(tar);
  assert.deepEqual([entry?.name, entry?.uid, entry?.headerOffset, others.length], ['f', 0, 1536, 0]);
});

test('sparse files and unknown types are refused by name, with a remedy', { timeout: 10_000 }, () => {
  const refused = { name: 'ConvertError', code: 'unsupported-layer', message: /"holes".*tar --format=posix/ };
  assert.throws(() => scan(tarOf({ name: 'holes', type: 'S' })), refused);
  assert.throws(() => scan(tarOf({ name: 'holes', type: 'M' })), refused);
  const sparse = { name: 'p', type: 'x', payload: pax({ 'GNU.sparse.major': '1', path: 'holes' }) };
  assert.throws(() => scan(tarOf(sparse, { name: 'x' })), refused);
  const packed = packTree([{ kind: 'hole', path: 'holes', sizeBytes: 1 << 20 }], { extraArguments: ['--sparse'] });
  assert.throws(() => scan(packed), { code: 'unsupported-layer' });
});

test('damage is refused: checksum, lengths, cuts, lone zero blocks, monstrous headers', { timeout: 10_000 }, () => {
  const good = tarOf({ name: 'p', type: 'x', payload: pax({ path: 'n' }) }, { name: 'f', payload: Buffer.alloc(600) });
  const flipped = Buffer.from(good);
  flipped[1024]! ^= 1;
  const huge = tarOf({ name: 'p', type: 'x', fields: [[124, '00100000000\0']] });
  const zeroBetween = Buffer.concat([Buffer.alloc(512), good]);
  const shortRecord = tarOf({ name: 'p', type: 'x', payload: Buffer.from('99 path=n\n') }, { name: 'f' });
  const notOctal = tarOf({ name: 'f', fields: [[124, 'notanumber!\0']] });
  const huge256 = tarOf({ name: 'f', fields: [[124, Buffer.from('80ffffffffffffffffffffff', 'hex')]] });
  const negative = tarOf({ name: 'f', fields: [[124, Buffer.from('fffffffffffffffffffffff0', 'hex')]] });
  const dangling = Buffer.concat([good.subarray(0, 1024), Buffer.alloc(1024)]);
  const damaged = { flipped, huge, zeroBetween, shortRecord, notOctal, huge256, negative, dangling };
  for (const [what, tar] of Object.entries(damaged)) {
    assert.throws(() => scan(tar), { code: 'malformed-layer' }, what);
  }
  for (const cut of [100, 600, 1024, 1300, 2000, 2559]) {
    assert.throws(() => scan(good.subarray(0, cut)), { code: 'malformed-layer' }, `cut at ${cut}`);
  }
  assert.equal(scan(good.subarray(0, good.length - 1024)).length, 1, 'a missing end is taken, as Go and GNU tar do');
});

test('names cannot climb out of the layer', { timeout: 10_000 }, () => {
  const cases: [string, string][] = [
    ['./', ''],
    ['/etc//passwd/', 'etc/passwd'],
    ['../../a/./b/../c', 'a/c'],
    ['..', ''],
    ['a/...', 'a/...'],
  ];
  for (const [raw, clean] of cases) assert.equal(normaliseName(raw), clean);
});
