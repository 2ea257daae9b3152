import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeImageFile } from '../erofs/image-file.ts';
import { FormatError } from '../estargz/error.ts';
import { buildTestBlob, pseudoRandomBytes, type TestBlob } from '../store/testing/blob.ts';
import { BuilderThread, inlineBuilder } from './builder.ts';
import { createTreeMemory, type LayerMemory } from './tree-memory.ts';

const limit = { timeout: 30_000 };
const mib = 2 ** 20;

function openThread(t: TestContext): BuilderThread {
  const builder = new BuilderThread();
  t.after(() => builder.close());
  return builder;
}

function request({ bytes, footer }: TestBlob, memory: LayerMemory) {
  const toc = bytes.subarray(footer.tocOffset, footer.tocEnd);
  return { toc, footer, opaqueXattr: 'trusted', memory } as const;
}

function someBlob(fileCount: number, entries: readonly object[] = []): TestBlob {
  const files = Array.from({ length: fileCount }, (_, index) => ({
    name: `d/${index}`,
    content: pseudoRandomBytes(100, index),
  }));
  return buildTestBlob(files, { entries });
}

test(
  'the thread builds the tree and the image that the caller would, and charges the same memory',
  limit,
  async (t) => {
    const blob = someBlob(200, [{ name: '.wh.gone', type: 'reg' }]);
    const budget = createTreeMemory(64 * mib);
    const [own, other] = [budget.open(), budget.open()];
    const [expected, built] = await Promise.all([
      inlineBuilder.build(request(blob, own), 'image'),
      openThread(t).build(request(blob, other), 'image'),
    ]);
    assert.deepEqual(Buffer.from(built.tree.table.shared), Buffer.from(expected.tree.table.shared));
    assert.deepEqual(
      { ...built, tree: { ...built.tree, table: 0 } },
      { ...expected, tree: { ...expected.tree, table: 0 } },
    );
    assert.equal(budget.usedBytes, 2 * expected.tree.table.shared.byteLength);
    own.close();
    other.close();
    assert.equal(budget.usedBytes, 0);

    const directory = await mkdtemp(join(tmpdir(), 'builder-'));
    t.after(() => rm(directory, { recursive: true }));
    const path = await openThread(t).writeImage(directory, built.tree.table, 'theirs', 'image');
    const ownPath = await writeImageFile(directory, expected.tree.table, 'ours');
    assert.deepEqual(readFileSync(path), readFileSync(ownPath));
  },
);

test('an error comes back as it was thrown, and the memory is given back', limit, async (t) => {
  const builder = openThread(t);
  const budget = createTreeMemory(64 * mib);
  const memory = budget.open();
  const broken = someBlob(2, [
    { name: 'a', type: 'reg' },
    { name: 'a/b', type: 'reg' },
  ]);
  const [expected, error] = await Promise.all(
    [inlineBuilder, builder].map((one) => one.build(request(broken, memory), 'image').catch((caught) => caught)),
  );
  assert.ok(error instanceof FormatError);
  assert.deepEqual([error.code, error.entry, error.message], [expected.code, expected.entry, expected.message]);
  assert.equal(budget.usedBytes, 0);
  const { tree } = await builder.build(request(someBlob(1), memory), 'image');
  await assert.rejects(builder.writeImage('/nonexistent', tree.table, '', 'image'), { code: 'ENOENT' });
});

test('a tree over the limit is refused, whichever thread charged the budget', limit, async (t) => {
  const builder = openThread(t);
  const budget = createTreeMemory(mib);
  const blob = someBlob(500);
  const first = budget.open();
  first.take(400 * 1024);
  const second = budget.open();
  second.take(500 * 1024);
  await assert.rejects(builder.build(request(blob, budget.open()), 'image'), { code: 'limit' });
  first.close();
  second.close();
  await builder.build(request(blob, budget.open()), 'image');
});

test('a lane keeps its order, and a large tree of another does not hold it up', limit, async (t) => {
  const builder = openThread(t);
  const memory = createTreeMemory(1024 * mib).open();
  const [large, small] = [someBlob(20_000), someBlob(10)];
  const done: string[] = [];
  const run = (blob: TestBlob, lane: string, name: string) =>
    builder.build(request(blob, memory), lane).then(() => done.push(name));
  await Promise.all([
    run(large, 'a', 'large'),
    run(small, 'a', 'behind the large one'),
    run(small, 'b', 'first'),
    run(small, 'b', 'second'),
  ]);
  assert.deepEqual(done, ['first', 'second', 'large', 'behind the large one']);
});

test('a closed thread fails what it has not done and what comes later', limit, async () => {
  const builder = new BuilderThread();
  const memory = createTreeMemory(64 * mib).open();
  const pending = assert.rejects(builder.build(request(someBlob(10), memory), 'image'), /thread ended/);
  await builder.close();
  await pending;
  await assert.rejects(builder.build(request(someBlob(10), memory), 'image'), /closed/);
});
