import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { suiteLifetime } from '../../testkit/lifetime.ts';
import { pseudoRandomBytes } from '../../testkit/random.ts';
import { openScratch } from '../../testkit/scratch.ts';
import { convertFrom } from '../convert/image.ts';
import { layerFormats } from '../convert/format.ts';
import { runProgram } from '../convert/testing/command.ts';
import { packTree } from '../convert/testing/source-tree.ts';
import { openTarget, openSource } from '../images/open.ts';
import { parseLocation } from '../images/location.ts';
import { writeLayoutImage } from '../images/testing/layout-image.ts';
import { RegistryClient } from '../registry/client.ts';

const limit = { timeout: 60_000 };
const signal = AbortSignal.timeout(240_000);
const suite = suiteLifetime();
const client = new RegistryClient();
let scratch: string;

/** One file of several chunks, one of one, a link; and a layer of one file. */
const tars = [
  packTree([
    { kind: 'file', path: 'bin/big', content: pseudoRandomBytes(150_000, 1) },
    { kind: 'file', path: 'bin/small', content: Buffer.from('small') },
    { kind: 'symlink', path: 'bin/link', target: 'small' },
  ]),
  packTree([{ kind: 'file', path: 'etc/conf', content: Buffer.from('conf') }]),
];

before(async () => {
  scratch = openScratch(suite, 'inspect');
  const [layer] = await writeLayoutImage(join(scratch, 'source'), tars);
  const source = await openSource(parseLocation(`oci:${scratch}/source`), { client }, signal);
  const accesses = [{ layer: layer!, path: 'bin/big', range: { start: 0, end: 40_000 } }];
  for (const format of layerFormats) {
    const target = await openTarget(parseLocation(`oci:${scratch}/out:${format}`), { client });
    const recorded = format === 'stargz' ? {} : { accesses };
    await convertFrom(source, target, { format, chunkSizeBytes: 65_536, ...recorded, signal });
  }
});

const inspect = (...args: string[]) => runProgram(join(import.meta.dirname, 'cli.ts'), args);

test('each format is shown with its TOC, landmark, hot ranges and chunks', limit, async () => {
  for (const format of layerFormats) {
    const { status, stdout, stderr } = await inspect(`oci:${scratch}/out:${format}`, '--json', '--verify');
    assert.deepEqual([status, stderr], [0, ''], stdout);
    const { layers, problems, manifest } = JSON.parse(stdout);
    assert.equal(problems, 0);
    assert.equal(manifest.platform, 'linux/amd64');
    const [{ toc, verification }, second] = layers;
    assert.deepEqual([layers[0].format, second.format], [format, format]);
    const landmarks = format === 'stargz' ? 0 : 1;
    assert.deepEqual([toc.files, toc.directories, toc.links], [2 + landmarks, 2, 1], format);
    assert.equal(verification.chunks, toc.chunks.count);
    assert.equal(toc.packed.digest, layers[0].annotations['containerd.io/snapshot/stargz/packed-toc.digest']);
    assert.ok(toc.packed.sizeBytes > 0 && toc.compressedBytes > 0);
    assert.equal(toc.chunks.maxBytes, 65_536);
    if (format === 'stargz') {
      assert.deepEqual([toc.landmark, toc.hotRanges, toc.annotatedDigest], [null, null, null]);
      // Of the four chunks, those of the file in three have only its digest.
      assert.equal(verification.chunksWithoutDigest, 3);
    } else {
      assert.equal(toc.landmark.kind, 'prefetch');
      assert.equal(second.toc.landmark.kind, 'none');
      assert.equal(toc.annotatedDigest, toc.digest);
      // The first chunk, which does not compress.
      assert.ok(toc.hotRanges.sizeBytes >= 65_536 && toc.hotRanges.sizeBytes < 66_000, JSON.stringify(toc.hotRanges));
      assert.equal(verification.chunksWithoutDigest, 0);
    }
  }
});

test('an ordinary image has layers without a TOC, and is verified by its blobs and DiffIDs', limit, async () => {
  const { status, stdout } = await inspect(`${scratch}/source`, '--verify');
  assert.equal(status, 0);
  assert.match(stdout, /^1 {6}[0-9a-f]{12} {2}gzip {4}0\.2 MB {2}-/m);
  assert.match(stdout, /every digest checked: 2 layers, 0 chunks: 0 wrong/);
});

test('a layer in a file is shown for people', limit, async () => {
  const { layers } = JSON.parse((await inspect(`oci:${scratch}/out:estargz`, '--json')).stdout);
  const blob = join(scratch, 'out/blobs/sha256', layers[0].digest.slice(7));
  const { status, stdout } = await inspect(blob, '--verify');
  assert.equal(status, 0);
  assert.match(stdout, /^1 layer, 0\.2 MB; prefetched up to the landmarks 0\.2 MB \(\d+\.\d %\), hot ranges/m);
  assert.match(stdout, /estargz {2}0\.2 MB {2}[0-9a-f]{12} \(not in manifest\)/);
});

test('a damaged chunk, a TOC of another layer and a list of another layer are found', limit, async (t) => {
  const { layers } = JSON.parse((await inspect(`oci:${scratch}/out:estargz`, '--json')).stdout);
  const blob = readFileSync(join(scratch, 'out/blobs/sha256', layers[0].digest.slice(7)));
  const work = openScratch(t, 'damage');
  const damaged = Buffer.from(blob);
  damaged[20_000]! ^= 1;
  const path = join(work, 'damaged');
  writeFileSync(path, damaged);
  const outcome = await inspect(path, '--verify');
  assert.equal(outcome.status, 1);
  assert.match(outcome.stdout, /layer 1: "bin\/big": /);
  assert.equal((await inspect(path)).status, 0, 'content is not read without --verify');

  // The second layer under the annotations of the first.
  const index = JSON.parse(readFileSync(join(scratch, 'out/index.json'), 'utf8'));
  const [{ digest }] = index.manifests.filter(
    ({ annotations }: { annotations: Record<string, string> }) => Object.values(annotations)[0] === 'estargz',
  );
  const manifest = JSON.parse(readFileSync(join(scratch, 'out/blobs/sha256', digest.slice(7)), 'utf8'));
  manifest.layers[1].annotations = manifest.layers[0].annotations;
  const bytes = Buffer.from(JSON.stringify(manifest));
  const target = await openTarget(parseLocation(`oci:${scratch}/out:swapped`), { client });
  await target.tag(manifest.mediaType, bytes, signal);
  const swapped = await inspect(`oci:${scratch}/out:swapped`);
  assert.equal(swapped.status, 1);
  assert.match(
    swapped.stdout,
    /^layer 2: the TOC is sha256:[0-9a-f]{64}, not sha256:[0-9a-f]{64} as the manifest says$/m,
  );
  assert.match(swapped.stdout, /^layer 2: the list of hot ranges is of another layer/m);
});

test('what cannot be inspected is one line', limit, async () => {
  const cases: [string[], number, RegExp][] = [
    [[], 2, /expected one IMAGE or FILE, got 0 \(see --help\)/],
    [[`oci:${scratch}/out:none`], 1, /there is no "none"; it has stargz, estargz, zstd-chunked/],
    [[`${scratch}/gone`], 1, /there is no .*gone; check the path/],
    [['--frob'], 2, /--frob/],
    [[`oci:${scratch}/source`, '--platform', 'linux/arm64'], 1, /is for linux\/amd64, not linux\/arm64/],
  ];
  const outcomes = await Promise.all(cases.map(([args]) => inspect(...args)));
  for (const [index, [args, status, message]] of cases.entries()) {
    const outcome = outcomes[index]!;
    assert.match(outcome.stderr, message, args.join(' '));
    assert.match(outcome.stderr, /^inspect: [^\n]+\n$/);
    assert.deepEqual([outcome.status, outcome.stdout], [status, '']);
  }
  const help = await inspect('--help');
  assert.deepEqual([help.status, help.stderr], [0, '']);
});
