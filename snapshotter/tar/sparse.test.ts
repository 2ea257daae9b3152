import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { layerFormats } from '../convert/format.ts';
import { convertLayer } from '../convert/layer.ts';
import { scanTar, type TarEntry } from './tar.ts';
import { pieces } from '../convert/testing/image.ts';
import { openLazyBlob } from '../convert/testing/lazy-blob.ts';
import { type RawEntry, rawTar } from '../convert/testing/raw-tar.ts';
import { packTree } from '../convert/testing/source-tree.ts';

const workDir = mkdtempSync(join(tmpdir(), 'convert-sparse-'));
after(() => rmSync(workDir, { recursive: true, force: true }));

function scan(tar: Buffer): TarEntry[] {
  return [...scanTar((offset, length) => tar.subarray(offset, offset + length), tar.length)];
}

for (const version of ['0.0', '0.1', '1.0']) {
  test(`a file in GNU tar's sparse format ${version} is expanded`, { timeout: 60_000 }, async () => {
    const parts = [
      { offset: 0, content: Buffer.alloc(1 << 16, 'start') },
      { offset: 6_000_000, content: Buffer.alloc(1 << 16, 'middle') },
    ];
    const sizeBytes = 9_000_000;
    const whole = Buffer.alloc(sizeBytes);
    for (const { offset, content } of parts) content.copy(whole, offset);
    const tar = packTree([{ kind: 'hole', path: 'holes', sizeBytes, parts }], {
      extraArguments: ['--sparse', `--sparse-version=${version}`],
    });
    assert.ok(tar.length < 1_000_000, 'the tar has no bytes for the holes');
    for (const format of layerFormats) {
      const layer = await convertLayer(() => pieces(tar), { format, workDir });
      assert.ok(layer.sizeBytes < 100_000, 'holes compress well');
      assert.deepEqual(openLazyBlob(layer.path).read('holes'), whole);
      if (format === 'estargz')
        assert.ok(gunzipSync(await readFile(layer.path)).includes(whole), 'the tar in the blob has the whole file');
    }
  });
}

const data: RawEntry = { name: 'f', content: 'abcde' };

test('sparse maps that do not match the file or its data are rejected', { timeout: 10_000 }, () => {
  const old = (map: string, numblocks: string, size = '100'): RawEntry => ({
    ...data,
    pax: [
      ['GNU.sparse.size', size],
      ['GNU.sparse.numblocks', numblocks],
      ['GNU.sparse.map', map],
    ],
  });
  const one = (content: string): RawEntry => ({
    name: 'f',
    content,
    pax: [
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.realsize', '100'],
    ],
  });
  const cases: Readonly<Record<string, RawEntry>> = {
    'more data than mapped': old('0,4', '1'),
    'less data than mapped': old('0,6', '1'),
    'past the end of the file': old('98,5', '1'),
    'overlapping extents': old('0,3,2,2', '2'),
    'a wrong count': old('0,5', '2'),
    'no count': old('0,5', ''),
    'a count that is not a number': old('0,5', 'x'),
    'a negative offset': old('-1,5', '1'),
    'a number past 2^53': old('99999999999999999,5', '1'),
    'a negative size': old('0,5', '1', '-100'),
    'a size over the limit': old('0,5', '1', '2000000000000'),
    'a map without an end': one('1\n0\n5'),
    'a map with text in it': one(`1\nzero\n5\n${'\0'.repeat(600)}`),
    'a map of more entries than bytes': one(`999999999\n0\n5\n${'\0'.repeat(600)}`),
  };
  for (const [what, entry] of Object.entries(cases)) {
    assert.throws(() => scan(rawTar(entry)), { code: 'malformed' }, what);
  }
  const odd: RawEntry = { ...data, pax: [['GNU.sparse.numbytes', '5']] };
  assert.throws(() => scan(rawTar(odd)), { code: 'malformed' }, 'numbytes without an offset');
  assert.equal(scan(rawTar(old('0,5', '1')))[0]!.sizeBytes, 100);
});

test('a file in an unknown sparse version is an ordinary file, as in Go’s archive/tar', { timeout: 10_000 }, () => {
  const [entry] = scan(
    rawTar({
      ...data,
      pax: [
        ['GNU.sparse.major', '2'],
        ['GNU.sparse.minor', '0'],
      ],
    }),
  );
  assert.deepEqual([entry!.sizeBytes, entry!.extents], [5, undefined]);
});
