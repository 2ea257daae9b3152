import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { fc } from '../../testkit/random.ts';
import { digestOf } from '../registry/digest.ts';
import { FormatError, type FormatErrorCode } from './error.ts';
import type { Footer } from './footer.ts';
import { scanToc } from './testing/whole-toc.ts';
import { type ByteSource, readWholeToc, scanTocInSteps, sliceText, type TocEntry, TocReader } from './toc.ts';

function isRefused(code: FormatErrorCode, message?: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof FormatError && error.code === code && (message === undefined || message.test(error.message));
}

/** A source of a few bytes at a time, so that values cross the end of the window. */
function trickle(json: Uint8Array, pieceBytes: number): ByteSource {
  let from = 0;
  return {
    read(into, at) {
      const count = Math.min(pieceBytes, json.length - from, into.length - at);
      into.set(json.subarray(from, from + count), at);
      from += count;
      return count;
    },
  };
}

type Plain = { [key: string]: unknown };

/** Scans the entries into plain objects of the same shape as `entryArbitrary`. */
function collect(json: Uint8Array | ByteSource): Plain[] {
  const entries: Plain[] = [];
  scanToc(json, (entry) => void entries.push(plain(entry)));
  return entries;
}

function plain(entry: TocEntry): Plain {
  const xattrs: { [name: string]: string } = {};
  for (let row = 0; row < entry.xattrCount; row++) {
    Object.defineProperty(xattrs, sliceText(entry.xattrNames[row]!), {
      value: sliceText(entry.xattrValues[row]!),
      enumerable: true,
      configurable: true,
    });
  }
  const { type, size, mode, uid, gid, devMajor, devMinor, offset, innerOffset, chunkOffset, chunkSize } = entry;
  return {
    type,
    name: sliceText(entry.name),
    linkName: sliceText(entry.linkName),
    modtime: sliceText(entry.modTime),
    digest: sliceText(entry.digest),
    chunkDigest: sliceText(entry.chunkDigest),
    ...{ size, mode, uid, gid, devMajor, devMinor, offset, innerOffset, chunkOffset, chunkSize },
    xattrs,
  };
}

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('\u2028', '<&>', '"\\/\b\f\n\r\t', '\u0000'),
);
const whole = fc.maxSafeNat();
const entryArbitrary = fc.record({
  type: fc.constantFrom('dir', 'reg', 'symlink', 'hardlink', 'char', 'block', 'fifo', 'chunk'),
  name: text,
  linkName: text,
  modtime: text,
  digest: text,
  chunkDigest: text,
  size: whole,
  mode: whole,
  uid: whole,
  gid: whole,
  devMajor: whole,
  devMinor: whole,
  offset: whole,
  innerOffset: whole,
  chunkOffset: whole,
  chunkSize: whole,
  xattrs: fc.dictionary(text, text, { maxKeys: 4 }),
});

/** Escapes `<`, `>` and `&` like Go's encoder, and all non-ASCII characters. */
function escapeMore(json: string): string {
  return json.replace(/[<>&\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

describe('TOC scanner', { timeout: 60_000 }, () => {
  test('reads every field as JSON.parse does, whatever the order of keys, white space and escapes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(entryArbitrary, fc.dictionary(fc.string(), fc.jsonValue()), fc.infiniteStream(fc.nat())), {
          maxLength: 5,
        }),
        fc.constantFrom(0, 1, '\t'),
        fc.boolean(),
        fc.integer({ min: 1, max: 3000 }),
        (generated, indent, isEscaped, pieceBytes) => {
          const list = generated.map(([entry, unknown, order]) => {
            const extra = Object.entries(unknown).filter(
              ([key]) => !(key in entry) && key !== 'chunkType' && key !== '__proto__',
            );
            const fields = [...Object.entries(entry), ...extra].map((field) => ({ field, rank: order.next().value! }));
            return Object.fromEntries(fields.sort((a, b) => a.rank - b.rank).map(({ field }) => field));
          });
          const json = JSON.stringify(
            { before: [{ a: 1 }], version: 1, entries: list, after: { deep: [[[]]] } },
            null,
            indent,
          );
          const bytes = Buffer.from(isEscaped ? escapeMore(json) : json);
          const expected = (JSON.parse(bytes.toString()) as { entries: Plain[] }).entries;
          for (const [index, entry] of collect(bytes).entries()) {
            for (const [key, value] of Object.entries(entry))
              assert.deepEqual(value, normal(expected[index]![key]), key);
          }
          assert.equal(collect(bytes).length, expected.length);
          assert.deepEqual(collect(trickle(bytes, pieceBytes)), collect(bytes));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('a surrogate pair becomes one character, a lone surrogate U+FFFD', () => {
    const json = Buffer.from(
      '{"entries":[{"type":"dir","name":"\\ud83d\\ude00 \\ud800x \\udc00 \\ud800\\ud83d\\ude00"}]}',
    );
    assert.equal(collect(json)[0]!.name, '😀 \ufffdx \ufffd \ufffd😀');
  });

  test('invalid UTF-8 is passed on unchanged', () => {
    const json = Buffer.concat([
      Buffer.from('{"entries":[{"type":"dir","name":"a'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}]}'),
    ]);
    scanToc(json, ({ name }) => assert.deepEqual([...name.bytes.subarray(name.start, name.end)], [0x61, 0xff, 0xfe]));
  });

  test('a null field keeps its default, and a null list of entries is empty', () => {
    const [entry] = collect(
      Buffer.from('{"entries":[{"name":null,"type":"reg","size":null,"xattrs":null}],"version":null}'),
    );
    assert.deepEqual([entry!.name, entry!.size, entry!.xattrs], ['', 0, {}]);
    assert.equal(collect(Buffer.from('{"version":1,"entries":null}')).length, 0);
    assert.equal(collect(Buffer.from(' { "entries" : [ ] } \n')).length, 0);
  });

  test('malformed JSON and JSON of another shape are rejected with the reason', () => {
    const bad = [
      ['', 'ends in the middle'],
      ['[]', 'expected {'],
      ['{}', 'no entries'],
      ['{"version":1}', 'no entries'],
      ['{"entries":{}}', 'expected ['],
      ['{"entries":[{"type":"reg"}', 'ends in the middle'],
      ['{"entries":[{"type":"reg",}]}', 'expected "'],
      ['{"entries":[{"type":"reg"}] ]', 'expected }'],
      ['{"entries":[],"entries":[]}', 'two lists'],
      ['{"entries":[]} x', 'after the end'],
      ['{"entries":[{"type":"reg","size":"1"}]}', 'expected a number'],
      ['{"entries":[{"type":"reg","size":1.5}]}', 'expected a whole number'],
      ['{"entries":[{"type":"reg","size":1e3}]}', 'expected a whole number'],
      ['{"entries":[{"type":"reg","size":01}]}', 'leading zero'],
      ['{"entries":[{"type":"reg","size":NaN}]}', 'expected a number'],
      ['{"entries":[{"type":"reg","size":-}]}', 'expected a number'],
      ['{"entries":[{"type":"reg","size":9007199254740993}]}', 'beyond 2^53'],
      ['{"entries":[{"type":"reg","name":5}]}', 'expected "'],
      ['{"entries":[{"type":"reg","name":"a\nb"}]}', 'control character'],
      ['{"entries":[{"type":"reg","name":"\\n\nb"}]}', 'control character'],
      ['{"entries":[{"type":"reg","name":"\\x"}]}', 'unknown escape'],
      ['{"entries":[{"type":"reg","name":"\\u12g4"}]}', 'four digits'],
      ['{"entries":[{"type":"reg","name":"\\u12"}]}', 'four digits'],
      ['{"entries":[{"type":"reg","other":tru}]}', 'expected true'],
      ['{"entries":[{"type":"reg","other":1.}]}', 'expected a value'],
      ['{"entries":[{"type":"reg","other":+1}]}', 'expected a value'],
      ['{"entries":[\u0001]}', 'control character'],
    ] as const;
    for (const [json, problem] of bad) {
      const escaped = new RegExp(problem.replace(/[[\]{}^]/g, '\\$&'));
      assert.throws(() => collect(Buffer.from(json)), isRefused('json', escaped), json);
      assert.throws(() => collect(trickle(Buffer.from(json), 3)), isRefused('json', escaped), json);
    }
  });

  test('damaged JSON throws nothing but FormatError', () => {
    const json = Buffer.from(
      JSON.stringify({ version: 1, entries: [{ name: 'a\u00e9\n', type: 'reg', size: 12, xattrs: { a: 'eA==' } }] }),
    );
    fc.assert(
      fc.property(fc.nat(json.length - 1), fc.nat(255), (at, byte) => {
        const damaged = Buffer.from(json);
        damaged[at] = byte;
        try {
          collect(damaged);
        } catch (error) {
          assert.ok(error instanceof FormatError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
    for (let length = 0; length < json.length; length++)
      assert.throws(() => collect(json.subarray(0, length)), FormatError);
  });

  test('an entry without a type, or of an unknown type, is rejected', () => {
    assert.throws(() => collect(Buffer.from('{"entries":[{"name":"x"}]}')), isRefused('entry', /"x": no type/));
    assert.throws(
      () => collect(Buffer.from('{"entries":[{"name":"x","type":"socket"}]}')),
      isRefused('unsupported', /"x": unknown type "socket"/),
    );
  });

  test('another TOC version is rejected, before or after the entries', () => {
    assert.throws(() => collect(Buffer.from('{"version":2,"entries":[]}')), isRefused('unsupported'));
    assert.throws(() => collect(Buffer.from('{"entries":[],"version":2}')), isRefused('unsupported'));
  });

  test('the depth of nesting is limited, at the top level and inside an entry', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    assert.throws(() => collect(Buffer.from(`{"x":${deep},"entries":[]}`)), isRefused('json', /nested/));
    assert.throws(() => collect(Buffer.from(`{"entries":[{"x":${deep}}]}`)), isRefused('json', /nested/));
    const shallow = `${'['.repeat(60)}${']'.repeat(60)}`;
    assert.equal(collect(Buffer.from(`{"x":${shallow},"entries":[]}`)).length, 0);
  });

  test('an endless TOC is rejected at the limit of entries', () => {
    const entry = Buffer.from('{"type":"dir"},');
    const head = Buffer.from('{"entries":[');
    let given = 0;
    const endless: ByteSource = {
      read(into, at) {
        if (given++ === 0) return head.copy(into, at);
        let end = at;
        while (end + entry.length <= into.length) end += entry.copy(into, end);
        return end - at;
      },
    };
    let count = 0;
    assert.throws(() => scanToc(endless, () => count++), isRefused('limit', /2097152 entries/));
    assert.equal(count, 2_097_152);
  });

  test('yields regularly within JSON that is long but has few entries', () => {
    const values = `"x":[${'[],'.repeat(10_000)}1]`;
    for (const json of [
      `{${'"x":1,'.repeat(500_000)}"entries":[]}`,
      `{${Array(100).fill(values).join()},"entries":[]}`,
      `{"entries":[${Array(100).fill(`{"type":"dir",${values}}`).join()}]}`,
    ]) {
      let readBytes = 0;
      const bytes = Buffer.from(json);
      const source: ByteSource = {
        read(into, at) {
          const count = bytes.copy(into, at, readBytes);
          readBytes += count;
          return count;
        },
      };
      let steps = 0;
      for (const _ of scanTocInSteps(source, () => {})) steps++;
      assert.ok(steps > bytes.length / 150_000, `${steps} steps for ${bytes.length} bytes`);
    }
  });

  test('a single value larger than the maximum window is rejected', () => {
    let isFirst = true;
    const endless: ByteSource = {
      read(into, at) {
        into.fill(0x61, at);
        if (isFirst) Buffer.from('{"entries":[{"name":"').copy(into, at);
        isFirst = false;
        return into.length - at;
      },
    };
    assert.throws(() => scanToc(endless, () => {}), isRefused('limit', /single value/));
  });

  test('an entry with more than 128 extended attributes is rejected', () => {
    const xattrs = Object.fromEntries(Array.from({ length: 129 }, (_, index) => [`user.${index}`, '']));
    assert.throws(
      () => collect(Buffer.from(JSON.stringify({ entries: [{ name: 'x', type: 'reg', xattrs }] }))),
      isRefused('limit', /"x"/),
    );
  });
});

/** JSON.parse keeps lone surrogates; UTF-8 has only U+FFFD for them. */
function normal(value: unknown): unknown {
  if (typeof value === 'string') return Buffer.from(value).toString();
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [Buffer.from(key).toString(), normal(inner)]));
}

function tarHeader(name: string, sizeBytes: number, type = '0'): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  block.write('        ', 148, 'latin1');
  block.write(type, 156, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

const gzipFooter: Footer = {
  kind: 'estargz',
  compression: 'gzip',
  payloadEnd: 0,
  tocOffset: 0,
  tocEnd: 0,
};
const json = Buffer.from('{"version":1,"entries":[{"name":"x","type":"dir"}]}');
const padding = Buffer.alloc(1024 + 512 - json.length);

describe('TOC member', { timeout: 60_000 }, () => {
  test('reads the JSON and its digest from a gzip member with a tar header, whole or in pieces', () => {
    const member = gzipSync(Buffer.concat([tarHeader('stargz.index.json', json.length), json, padding]));
    assert.deepEqual(readWholeToc(member, gzipFooter), json);
    const reader = new TocReader(member, gzipFooter);
    assert.equal(reader.sizeBytes, json.length);
    const piece = Buffer.alloc(7);
    assert.equal(reader.read(piece, 2), 5);
    assert.equal(piece.toString('latin1', 2), '{"ver');
    assert.equal(reader.digest(), digestOf(json));
    assert.equal(reader.read(piece, 0), 0);
  });

  test('a pax header before the TOC is skipped', () => {
    const pax = Buffer.from('30 mtime=1700000000.123456789\n');
    const blocks = [tarHeader('PaxHeaders/x', pax.length, 'x'), pax, Buffer.alloc(512 - pax.length)];
    const member = gzipSync(Buffer.concat([...blocks, tarHeader('stargz.index.json', json.length), json, padding]));
    assert.deepEqual(readWholeToc(member, gzipFooter), json);
  });

  test('a zstd TOC has no tar header; its size is in the footer', () => {
    const footer: Footer = { ...gzipFooter, kind: 'zstd-chunked', compression: 'zstd', tocRawSizeBytes: json.length };
    assert.deepEqual(readWholeToc(zstdCompressSync(json), footer), json);
    assert.throws(
      () => readWholeToc(zstdCompressSync(json), { ...footer, tocRawSizeBytes: json.length + 1 }),
      isRefused('toc'),
    );
    assert.throws(
      () => readWholeToc(zstdCompressSync(json), { ...footer, tocRawSizeBytes: 2 ** 40 }),
      isRefused('limit'),
    );
  });

  test('another tar entry, a wrong checksum, a malformed size, a truncated member and noise are rejected', () => {
    const wrongSum = tarHeader('stargz.index.json', json.length);
    wrongSum[100]! ^= 1;
    const wrongSize = tarHeader('stargz.index.json', json.length);
    wrongSize.write('zzz', 124, 'latin1');
    const bad = [
      gzipSync(Buffer.concat([tarHeader('other.json', json.length), json, padding])),
      gzipSync(Buffer.concat([tarHeader('stargz.index.json', json.length, '5'), json, padding])),
      gzipSync(Buffer.concat([wrongSum, json, padding])),
      gzipSync(Buffer.concat([wrongSize, json, padding])),
      gzipSync(tarHeader('stargz.index.json', json.length).subarray(0, 300)),
      gzipSync(Buffer.alloc(2048)),
      Buffer.alloc(100, 0x41),
      Buffer.alloc(0),
    ];
    for (const member of bad) assert.throws(() => readWholeToc(member, gzipFooter), isRefused('toc'));
    const short = gzipSync(Buffer.concat([tarHeader('stargz.index.json', json.length), json.subarray(0, 20)]));
    assert.throws(() => readWholeToc(short, gzipFooter), isRefused('toc', /ends too early/));
  });

  test('a TOC size over the limit, or over the maximum compression ratio, is rejected before allocation', () => {
    const huge = gzipSync(tarHeader('stargz.index.json', 600 << 20));
    assert.throws(() => readWholeToc(huge, gzipFooter), isRefused('limit'));
    const claim = gzipSync(tarHeader('stargz.index.json', 400 << 20));
    assert.throws(() => readWholeToc(claim, gzipFooter), isRefused('toc', /cannot hold/));
  });
});
