import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildLayer } from '../builder/built-layer.ts';
import { createTreeMemory } from '../builder/tree-memory.ts';
import { makeRehearsedToc } from './toc.ts';

const limit = { timeout: 30_000 };

test('every rehearsed TOC is a layer with entries of all types', limit, async () => {
  for (let seed = 0; seed < 8; seed++) {
    const memory = createTreeMemory(64 << 20).open();
    const { toc, footer } = makeRehearsedToc(seed, 1500);
    const { tree } = await buildLayer(toc, footer, { opaqueXattr: 'trusted', memory });
    const types = new Set(tree.table.mode.map((mode) => mode & 0o170000));
    for (const type of [0o040000, 0o100000, 0o120000, 0o020000]) assert.ok(types.has(type), type.toString(8));
    assert.ok(tree.table.inodeCount > 900);
    assert.ok(tree.table.chunkCount > tree.table.memberCount / 2 && tree.table.xattrCount > 0);
    assert.ok(tree.table.nlink.some((count, inode) => count > 1 && (tree.table.mode[inode]! & 0o170000) === 0o100000));
    memory.close();
  }
});

test('a seed repeats its TOC, and another seed has another', limit, () => {
  assert.deepEqual(makeRehearsedToc(3, 200), makeRehearsedToc(3, 200));
  assert.notDeepEqual(makeRehearsedToc(3, 200).toc, makeRehearsedToc(4, 200).toc);
});
