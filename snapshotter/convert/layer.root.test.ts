import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { fc, pseudoRandomBytes } from '../../testkit/random.ts';
import { digestOf } from '../registry/digest.ts';
import { layerFormats } from './format.ts';
import { type ConvertedLayer, convertLayer, type LayerOptions } from './layer.ts';
import { pieces } from './testing/image.ts';
import { openLazyBlob } from './testing/lazy-blob.ts';
import { listTar, packTree, type SourceNode } from './testing/source-tree.ts';

const workDir = mkdtempSync(join(tmpdir(), 'convert-test-'));
after(() => rmSync(workDir, { recursive: true, force: true }));

function convert(blob: Buffer, options: Omit<LayerOptions, 'workDir'>): Promise<ConvertedLayer> {
  return convertLayer(() => pieces(blob), { ...options, workDir });
}

/** GNU tar's listing of the source. */
function listSource(tar: Buffer): string[] {
  const path = join(workDir, 'source.tar');
  writeFileSync(path, tar);
  return listTar(path);
}

const ownNames = /(\.prefetch\.landmark|\.no\.prefetch\.landmark|stargz\.index\.json)$/;

function tarOfBlob({ path, mediaType }: ConvertedLayer): Buffer {
  if (mediaType.endsWith('gzip')) return gunzipSync(readFileSync(path));
  return execFileSync('zstd', ['-dcq', path], { maxBuffer: 1 << 28 });
}

const big = pseudoRandomBytes(9_500_000, 1);
const tree: SourceNode[] = [
  { kind: 'file', path: 'bin/big', content: big, mode: 0o755 },
  { kind: 'file', path: 'etc/empty', content: Buffer.alloc(0) },
  { kind: 'file', path: 'etc/x', content: Buffer.from('x') },
  { kind: 'hardlink', path: 'etc/y', target: 'etc/x' },
  { kind: 'file', path: 'etc/zwei ü', content: Buffer.alloc(512, 'z') },
  { kind: 'symlink', path: 'lib', target: 'usr/lib' },
  { kind: 'fifo', path: 'run/pipe' },
  { kind: 'file', path: 'usr/lib/a.so', content: Buffer.alloc(5000, 'so') },
  { kind: 'dir', path: 'var/empty' },
];

for (const format of layerFormats) {
  test(`GNU tar lists a ${format} blob like its source, and a lazy reader reads every file`, {
    timeout: 60_000,
  }, async () => {
    const tar = packTree(tree);
    const layer = await convert(gzipSync(tar), { format });
    const listed = listTar(layer.path);
    assert.deepEqual(listed.filter((line) => !ownNames.test(line)).toSorted(), listSource(tar).toSorted());
    const inflated = tarOfBlob(layer);
    assert.equal(digestOf(inflated), layer.diffId);
    assert.equal(inflated.length, layer.uncompressedSizeBytes);
    assert.equal(digestOf(readFileSync(layer.path)), layer.digest);

    const blob = openLazyBlob(layer.path);
    assert.equal(blob.footer.kind, format);
    assert.equal(blob.tocDigest, layer.tocDigest);
    for (const node of tree) {
      if (node.kind === 'file') assert.deepEqual(blob.read(Buffer.from(node.path).toString()), node.content, node.path);
    }
    assert.equal(blob.entries.filter(({ name }) => name === 'bin/big').length, 3, 'chunks of at most 4 MiB');
    const landmarks = blob.entries.filter(({ name }) => name.endsWith('.landmark')).map(({ name }) => name);
    assert.deepEqual(landmarks, format === 'stargz' ? [] : ['.no.prefetch.landmark']);
  });
}

test('the TOC has every field that a reader needs, and omits empty ones', { timeout: 30_000 }, async () => {
  const tar = packTree(tree, { extraArguments: ['--owner=jo:1000', '--group=users:100'] });
  const layer = await convert(tar, { format: 'estargz' });
  const { entries } = openLazyBlob(layer.path);
  const find = (name: string) => entries.find((entry) => entry.name === name);
  assert.deepEqual(find('bin/big'), {
    name: 'bin/big',
    type: 'reg',
    size: big.length,
    modtime: '2020-09-13T12:26:40.25Z',
    mode: 0o755,
    uid: 1000,
    gid: 100,
    digest: digestOf(big),
    offset: find('bin/big')!.offset,
    chunkSize: 4 << 20,
    chunkDigest: digestOf(big.subarray(0, 4 << 20)),
  });
  const last = entries.filter(({ name }) => name === 'bin/big')[2];
  assert.deepEqual(last, {
    name: 'bin/big',
    type: 'chunk',
    offset: last!.offset,
    chunkOffset: 8 << 20,
    chunkDigest: digestOf(big.subarray(8 << 20)),
  });
  assert.deepEqual(
    [find('etc/y')?.type, find('etc/y')?.linkName, find('etc/y')?.size],
    ['hardlink', 'etc/x', undefined],
  );
  assert.deepEqual([find('lib')?.type, find('lib')?.linkName], ['symlink', 'usr/lib']);
  assert.equal(find('run/pipe')?.type, 'fifo');
  assert.equal(find('etc/empty')?.digest, digestOf(''));
  assert.equal(find('etc/empty')?.offset, undefined);
  const named = entries.filter(({ userName, groupName }) => userName !== undefined || groupName !== undefined);
  assert.deepEqual(
    named.map(({ userName, groupName }) => [userName, groupName]),
    [['jo', 'users']],
    'owner names are written once',
  );
});

test('prioritised files precede the landmark, whose offset is the end of the prefetch range', {
  timeout: 30_000,
}, async () => {
  const tar = packTree(tree);
  const layer = await convert(gzipSync(tar), { format: 'estargz', prioritized: ['usr/lib/a.so', 'etc/y', 'gone'] });
  const { entries } = openLazyBlob(layer.path);
  assert.deepEqual(
    entries.slice(0, 8).map(({ name }) => name),
    ['./', 'usr/', 'usr/lib/', 'usr/lib/a.so', 'etc/', 'etc/x', 'etc/y', '.prefetch.landmark'],
  );
  const offsetOf = (name: string): number => entries.find((entry) => entry.name === name)!.offset!;
  assert.ok(offsetOf('.prefetch.landmark') > offsetOf('etc/x'));
  assert.ok(offsetOf('.prefetch.landmark') < offsetOf('bin/big'));
  assert.deepEqual(openLazyBlob(layer.path).read('.prefetch.landmark'), Buffer.of(0x0f));
});

test('the same tar gives the same bytes, whatever its compression, members or frames', {
  timeout: 60_000,
}, async () => {
  const tar = packTree(tree);
  const cut = tar.length / 2;
  const twoFrames = Buffer.concat([zstdCompressSync(tar.subarray(0, cut)), zstdCompressSync(tar.subarray(cut))]);
  const twoMembers = Buffer.concat([gzipSync(tar.subarray(0, cut)), gzipSync(tar.subarray(cut), { level: 1 })]);
  const digests = new Set<string>();
  for (const blob of [tar, gzipSync(tar), twoMembers, twoFrames]) {
    const layer = await convertLayer(() => pieces(blob, 100_003), {
      format: 'estargz',
      workDir,
      prioritized: ['etc/x'],
    });
    digests.add(layer.digest);
  }
  assert.equal(digests.size, 1);
});

test('converting a converted layer again leaves no trace of the first conversion', { timeout: 60_000 }, async () => {
  const tar = packTree(tree);
  const once = await convert(tar, { format: 'estargz', prioritized: ['etc/x'] });
  const optimised = readFileSync(once.path);
  const zstd = await convert(optimised, { format: 'zstd-chunked' });
  const back = await convert(readFileSync(zstd.path), { format: 'stargz' });
  assert.deepEqual(
    listTar(back.path)
      .filter((line) => !line.endsWith('stargz.index.json'))
      .toSorted(),
    listSource(tar).toSorted(),
  );
});

test('small files share a member up to minChunkSizeBytes; large files and the landmark do not', {
  timeout: 30_000,
}, async () => {
  const small = Array.from({ length: 200 }, (_, i): SourceNode => {
    return { kind: 'file', path: `s/${String(i).padStart(3, '0')}`, content: Buffer.from(`content ${i}`) };
  });
  const nodes: SourceNode[] = [{ kind: 'file', path: 'a', content: big.subarray(0, 6_000_000) }, ...small];
  const tar = packTree(nodes);
  const plain = await convert(tar, { format: 'estargz' });
  const layer = await convert(tar, { format: 'estargz', minChunkSizeBytes: 50_000, prioritized: ['s/000'] });
  assert.ok(layer.sizeBytes < plain.sizeBytes);
  const blob = openLazyBlob(layer.path);
  for (const node of nodes) if (node.kind === 'file') assert.deepEqual(blob.read(node.path), node.content);
  const shared = blob.entries.filter(({ innerOffset }) => innerOffset !== undefined);
  assert.ok(shared.length > 190, `${shared.length} files share a member`);
  assert.ok(shared.every(({ innerOffset }) => innerOffset! < 50_000));
  assert.ok(shared.every(({ offset }) => offset !== 0));
  const landmark = blob.entries.find(({ name }) => name === '.prefetch.landmark')!;
  assert.equal(blob.entries.filter(({ offset }) => offset === landmark.offset).length, 1);
});

test('any tree in GNU or pax format is preserved in every blob format', { timeout: 120_000 }, async () => {
  const segment = fc
    .string({
      unit: fc.constantFrom('a', 'B', '0', ' ', 'é', '"', '\\', '.x', '\u{1f600}'),
      minLength: 1,
      maxLength: 60,
    })
    .filter((name) => name !== '.' && name !== '..' && Buffer.byteLength(name) < 200);
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes)),
    fc.integer({ min: 4000, max: 20_000 }).map((size) => big.subarray(size, 2 * size)),
  );
  const files = fc.uniqueArray(fc.record({ path, content }), { selector: (file) => file.path, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(
      files,
      fc.constantFrom('gnu', 'posix'),
      fc.constantFrom(...layerFormats),
      fc.constantFrom(0, 3000),
      fc.array(fc.nat(20), { maxLength: 5 }),
      async (wanted, tarFormat, format, minChunkSizeBytes, picks) => {
        // A path cannot be both a file and the parent of another.
        const kept = wanted.filter((file) => !wanted.some((other) => other.path.startsWith(`${file.path}/`)));
        const nodes = kept.map((file): SourceNode => ({ kind: 'file', ...file }));
        const tar = packTree([...nodes, { kind: 'symlink', path: 'l'.repeat(150), target: 't'.repeat(150) }], {
          format: tarFormat,
        });
        const prioritized = picks.flatMap((pick) => kept[pick]?.path ?? []);
        const options = { format, minChunkSizeBytes, chunkSizeBytes: 4096, level: 1, prioritized };
        const layer = await convert(tar, options);
        const listed = listTar(layer.path).filter((line) => !ownNames.test(line));
        assert.deepEqual(listed.toSorted(), listSource(tar).toSorted());
        const blob = openLazyBlob(layer.path);
        for (const file of kept) assert.deepEqual(blob.read(file.path), file.content);
        const link = blob.entries.find(({ type }) => type === 'symlink');
        assert.equal(link?.linkName, 't'.repeat(150));
        rmSync(layer.path);
      },
    ),
    { numRuns: 25, endOnFailure: true },
  );
});

test('an empty layer converts to a layer with at most a landmark in its TOC', { timeout: 20_000 }, async () => {
  for (const format of layerFormats) {
    const layer = await convert(gzipSync(Buffer.alloc(1024)), { format });
    assert.equal(digestOf(tarOfBlob(layer)), layer.diffId);
    assert.ok(openLazyBlob(layer.path).entries.length <= 1);
  }
});

test('a layer that cannot be converted is rejected in one line and leaves no files', { timeout: 20_000 }, async () => {
  const empty = mkdtempSync(join(workDir, 'refused-'));
  const whole = gzipSync(packTree(tree));
  const flipped = Buffer.from(whole);
  flipped[whole.length >> 1]! ^= 0xff;
  const cases: [string, Buffer, string][] = [
    ['damaged gzip', flipped, 'malformed-layer'],
    ['cut gzip', whole.subarray(0, whole.length - 100), 'malformed-layer'],
    ['no tar', Buffer.alloc(4096, 'not a tar '), 'malformed-layer'],
    ['bzip2', Buffer.from('BZh91AY&SY'), 'unsupported-layer'],
    ['xz', Buffer.from('fd377a585a0000', 'hex'), 'unsupported-layer'],
  ];
  for (const [what, blob, code] of cases) {
    const attempt = convertLayer(() => pieces(blob), { format: 'estargz', workDir: empty });
    await assert.rejects(attempt, { name: 'ConvertError', code, message: /^[^\n]+; [^\n]+$/ }, what);
  }
  const attempt = convertLayer(() => pieces(whole), { format: 'estargz', level: 10, workDir: empty });
  await assert.rejects(attempt, { code: 'invalid-option', message: /give 1 to 9/ });
  assert.deepEqual(readdirSync(empty), []);
});

test('an abort ends a conversion while it fetches or writes, and leaves no files', { timeout: 30_000 }, async () => {
  const empty = mkdtempSync(join(workDir, 'aborted-'));
  const tar = packTree(tree);
  const whileWriting = new AbortController();
  const writing = convertLayer(() => pieces(tar), {
    format: 'estargz',
    workDir: empty,
    signal: whileWriting.signal,
    onProgress: () => whileWriting.abort(),
  });
  await assert.rejects(writing, { name: 'AbortError' });
  const whileFetching = new AbortController();
  const hanging = async function* (): AsyncGenerator<Buffer> {
    yield tar.subarray(0, 1000);
    queueMicrotask(() => whileFetching.abort());
    await new Promise((_, reject) =>
      whileFetching.signal.addEventListener('abort', () => reject(whileFetching.signal.reason)),
    );
  };
  const fetching = convertLayer(hanging, { format: 'estargz', workDir: empty, signal: whileFetching.signal });
  await assert.rejects(fetching, { name: 'AbortError' });
  assert.deepEqual(readdirSync(empty), []);
});

test('xattrs, devices and names that are not UTF-8 are kept byte for byte in the TOC', {
  timeout: 20_000,
}, async () => {
  const top = mkdtempSync(join(workDir, 'bytes-'));
  writeFileSync(Buffer.concat([Buffer.from(`${top}/`), Buffer.from([0xff, 0x41])]), 'raw');
  const xattr = '--pax-option=SCHILY.xattr.user.mime_type:=text/plain';
  const tar = execFileSync('tar', ['-c', '--format=posix', xattr, '-C', top, '.', '-C', '/dev', 'null']);
  const layer = await convert(tar, { format: 'estargz' });
  const { entries } = openLazyBlob(layer.path);
  const value = Buffer.from('text/plain').toString('base64');
  assert.deepEqual(entries.find((entry) => entry.name === './')?.xattrs, { 'user.mime_type': value });
  const device = entries.find((entry) => entry.name === 'null');
  assert.deepEqual([device?.type, device?.devMajor, device?.devMinor], ['char', 1, 3]);
  const toc = execFileSync('sh', ['-c', 'tar -xzOf "$1" stargz.index.json', 'sh', layer.path]);
  assert.ok(toc.includes(Buffer.concat([Buffer.from('"name":"'), Buffer.from([0xff, 0x41]), Buffer.from('"')])));
});
