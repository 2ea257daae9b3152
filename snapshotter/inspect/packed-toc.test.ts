import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PACKED_TOC_LABEL, PACKED_TOC_SIZES_LABEL } from '../estargz/names.ts';
import { wrapPackedToc } from '../estargz/packed-toc.ts';
import { digestOf } from '../registry/digest.ts';
import { buildTestBlob, type TestFile } from '../store/testing/blob.ts';
import { buildInodeTable } from '../tree/build.ts';
import { packTree } from '../tree/pack.ts';
import { inspectPackedToc } from './packed-toc.ts';

const limit = { timeout: 10_000 };
const files: TestFile[] = [{ name: 'bin/a', content: Buffer.from('a') }];
const { bytes, footer, toc, tocDigest } = buildTestBlob(files);
const { payloadEnd } = footer;

function pack(json: Buffer): Buffer {
  const tree = buildInodeTable(json, { payloadEnd, opaqueXattr: 'trusted' });
  return wrapPackedToc(packTree(tree, tocDigest, payloadEnd)!, 'gzip');
}

/** Of the blob, as if it had this packed TOC. */
async function inspect(section: Buffer, annotatedDigest = digestOf(section), annotatedBytes = section.length) {
  const problems: string[] = [];
  const blobSizeBytes = bytes.length + section.length;
  const layer = {
    annotations: { [PACKED_TOC_LABEL]: annotatedDigest, [PACKED_TOC_SIZES_LABEL]: `${annotatedBytes},1` },
    footer: { ...footer, tocEnd: footer.tocEnd + section.length },
    blobSizeBytes,
    toc: bytes.subarray(footer.tocOffset, footer.tocEnd),
    tocDigest,
  };
  const read = async (start: number, end: number): Promise<Buffer> => {
    assert.equal(end, layer.footer.tocEnd);
    return section.subarray(section.length - (end - start));
  };
  return { packed: await inspectPackedToc(layer, read, problems), problems };
}

test('a packed TOC is right if it has the annotated digest and the tree of the TOC', limit, async () => {
  const section = pack(toc);
  const { packed, problems } = await inspect(section);
  assert.deepEqual(packed, { digest: digestOf(section), sizeBytes: section.length });
  assert.deepEqual(problems, []);
});

test('another digest, another tree, no room and what is no packed TOC are problems', limit, async () => {
  const section = pack(toc);
  const wrong: [Parameters<typeof inspect>, RegExp][] = [
    [[section, digestOf('another')], /the packed TOC is sha256:.* as the manifest says/],
    [[pack(Buffer.from(toc.toString().replace('"mode":420', '"mode":493')))], /another tree than the TOC/],
    [[section, digestOf(section), 1e9], /no room for a packed TOC of 1000000000 bytes/],
    [[Buffer.alloc(100)], /cannot be used/],
  ];
  for (const [parameters, message] of wrong) {
    const { problems } = await inspect(...parameters);
    assert.equal(problems.length, 1);
    assert.match(problems[0]!, message);
  }
});
