import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { buildLayer } from '../builder/built-layer.ts';
import { createTreeMemory } from '../builder/tree-memory.ts';
import { FOOTER_MAX, parseFooter } from '../estargz/footer.ts';
import { PACKED_TOC_LABEL } from '../estargz/names.ts';
import { digestOf } from '../registry/digest.ts';
import { assertSameTable } from '../tree/testing/same-table.ts';
import { layerFormats } from './format.ts';
import { type ConvertedLayer, convertLayer, type LayerFormat } from './layer.ts';
import { pieces } from './testing/image.ts';
import { rawTar } from './testing/raw-tar.ts';
import { packTree, type SourceNode } from './testing/source-tree.ts';

const limit = { timeout: 60_000 };
const zstdFooterBytes = 48;
const workDir = mkdtempSync(join(tmpdir(), 'packed-toc-'));
after(() => rmSync(workDir, { recursive: true, force: true }));

const tree: SourceNode[] = [
  { kind: 'file', path: 'bin/big', content: Buffer.alloc(5_000_000, 'big'), mode: 0o755 },
  { kind: 'file', path: 'etc/x', content: Buffer.from('x') },
  { kind: 'hardlink', path: 'etc/y', target: 'etc/x' },
  { kind: 'symlink', path: 'lib', target: 'usr/lib' },
  { kind: 'file', path: 'usr/.wh.gone', content: Buffer.alloc(0) },
  { kind: 'file', path: 'var/.wh..wh..opq', content: Buffer.alloc(0) },
];

function convert(nodes: readonly SourceNode[], format: LayerFormat): Promise<ConvertedLayer> {
  return convertLayer(() => pieces(packTree(nodes)), { format, workDir, prioritized: ['etc/x'] });
}

for (const format of layerFormats) {
  test(`the packed TOC of a ${format} layer has the tree of its TOC, and the annotated digest`, limit, async () => {
    const layer = await convert(tree, format);
    const bytes = readFileSync(layer.path);
    const footer = parseFooter(bytes.subarray(-FOOTER_MAX), bytes.length)!;
    const end = footer.compression === 'gzip' ? footer.tocEnd : bytes.length - zstdFooterBytes;
    const section = bytes.subarray(end - layer.packedTocBytes, end);
    assert.equal(layer.annotations[PACKED_TOC_LABEL], digestOf(section));
    const options = { opaqueXattr: 'trusted', memory: createTreeMemory(1 << 30).open() } as const;
    const packed = await buildLayer(section, footer, options);
    const built = await buildLayer(bytes.subarray(footer.tocOffset, footer.tocEnd), footer, options);
    assert.equal(packed.tocDigest, layer.tocDigest);
    assert.equal(packed.tree.hasMarks, true);
    assert.deepEqual(packed.tree.landmark, built.tree.landmark);
    assertSameTable(packed.tree.table, built.tree.table);
  });
}

test('a layer that a daemon leaves to containerd is converted without one', limit, async () => {
  // A device number that a mount has no room for.
  const tar = rawTar({ name: 'dev/', mode: 0o755 }, { name: 'dev/n', type: '3', devMajor: 5000, devMinor: 1 });
  const layer = await convertLayer(() => pieces(tar), { format: 'estargz', workDir });
  assert.equal(layer.packedTocBytes, 0);
  assert.equal(layer.annotations[PACKED_TOC_LABEL], undefined);
});
