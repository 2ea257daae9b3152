import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { filesOf, writeFilesOf } from './content.ts';
import { startReading } from './reading.ts';

const limit = { timeout: 60_000 };
const image = 5;
/** Some dozens of reads. */
const readMs = 700;

function makeTree(t: TestContext, damage: (path: string, content: Buffer) => void): string {
  const root = mkdtempSync(join(tmpdir(), 'chaos-reading-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  writeFilesOf(image, root);
  for (const { path, content } of filesOf(image)) damage(join(root, path), content);
  return root;
}

async function readFor(root: string) {
  const reading = startReading(root, image, 1);
  try {
    await delay(readMs);
    return await reading.end();
  } finally {
    reading.kill();
  }
}

test('right content is counted as read, and as nothing else', limit, async (t) => {
  const tally = await readFor(makeTree(t, () => {}));
  assert.ok(tally.reads > 0 && tally.bytes > 0 && tally.longestMs > 0, JSON.stringify(tally));
  const { reads: _, bytes: __, longestMs: ___, ...trouble } = tally;
  assert.deepEqual(new Set(Object.values(trouble)), new Set([0]));
});

test('zeros are told from other wrong bytes', limit, async (t) => {
  const zeroed = await readFor(makeTree(t, (path, content) => writeFileSync(path, Buffer.alloc(content.length))));
  assert.ok(zeroed.zeroBytes > 0);
  assert.equal(zeroed.wrongBytes, 0);
  const flipped = await readFor(
    makeTree(t, (path) =>
      writeFileSync(
        path,
        readFileSync(path).map((byte) => byte ^ 0xff || 1),
      ),
    ),
  );
  assert.ok(flipped.wrongBytes > 0);
  assert.equal(flipped.zeroBytes, 0);
});

test('a file that ends too soon has wrong bytes, and one that cannot be read has errors', limit, async (t) => {
  assert.ok((await readFor(makeTree(t, (path) => truncateSync(path, 0)))).wrongBytes > 0);
  const tally = await readFor(makeTree(t, (path) => rmSync(path)));
  assert.ok(tally.otherErrors > 0);
  assert.equal(tally.reads, 0);
});

test('in the window zeros and errors are counted apart', limit, async (t) => {
  const root = makeTree(t, (path, content) => writeFileSync(path, Buffer.alloc(content.length)));
  const reading = startReading(root, image, 1);
  t.after(() => reading.kill());
  await reading.enterWindow();
  await delay(readMs);
  rmSync(root, { recursive: true });
  await delay(readMs);
  const tally = await reading.end();
  assert.ok(tally.windowZeroBytes > 0 && tally.windowErrors > 0, JSON.stringify(tally));
  assert.equal(tally.otherErrors, 0);
});
