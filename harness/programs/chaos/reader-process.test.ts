import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { filesOf, writeFilesOf } from './content.ts';
import { monotonicMs, tallyJournal } from './journal.ts';
import { emptyReadTally } from './tally.ts';

const limit = { timeout: 60_000 };
const program = fileURLToPath(new URL('reader-process.ts', import.meta.url));
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

/** Reads for a while; with `enterWindow`, on for as long in the window. */
async function readFor(t: TestContext, root: string, enterWindow?: () => Promise<void>) {
  const child = spawn(process.execPath, [program, root, String(image), '1'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  let journal = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    journal += text;
  });
  await once(child.stdout, 'data');
  await delay(readMs);
  const windowMs = enterWindow && monotonicMs();
  await enterWindow?.();
  child.kill('SIGTERM');
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 0);
  const tally = emptyReadTally();
  tallyJournal(tally, journal, monotonicMs(), windowMs);
  return tally;
}

test('right content is counted as read, and as nothing else', limit, async (t) => {
  const tally = await readFor(
    t,
    makeTree(t, () => {}),
  );
  assert.ok(tally.reads > 0 && tally.bytes > 0 && tally.longestMs > 0, JSON.stringify(tally));
  const { reads: _, bytes: __, longestMs: ___, ...trouble } = tally;
  assert.deepEqual(new Set(Object.values(trouble)), new Set([0]));
});

test('zeros are told from other wrong bytes', limit, async (t) => {
  const zeroed = await readFor(
    t,
    makeTree(t, (path, content) => writeFileSync(path, Buffer.alloc(content.length))),
  );
  assert.ok(zeroed.zeroBytes > 0);
  assert.equal(zeroed.wrongBytes, 0);
  const flipped = await readFor(
    t,
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
  assert.ok(
    (
      await readFor(
        t,
        makeTree(t, (path) => truncateSync(path, 0)),
      )
    ).wrongBytes > 0,
  );
  const tally = await readFor(
    t,
    makeTree(t, (path) => rmSync(path)),
  );
  assert.ok(tally.otherErrors > 0);
  assert.equal(tally.reads, 0);
});

test('in the window zeros and errors are counted apart', limit, async (t) => {
  const root = makeTree(t, (path, content) => writeFileSync(path, Buffer.alloc(content.length)));
  const tally = await readFor(t, root, async () => {
    await delay(readMs);
    rmSync(root, { recursive: true });
    await delay(readMs);
  });
  assert.ok(tally.windowZeroBytes > 0 && tally.windowErrors > 0, JSON.stringify(tally));
  assert.equal(tally.otherErrors, 0);
});

test('a read under way when its reader is killed has waited until then', limit, () => {
  const tally = emptyReadTally();
  tallyJournal(tally, 'begin 0 1000\nbegin 1 1500\nend 1 1600 10 0 0 -\nend 0 2', 9000);
  assert.deepEqual(tally, { ...emptyReadTally(), reads: 1, bytes: 10, longestMs: 8000 });
});

test('what is no line of a journal is an error', limit, () => {
  assert.throws(() => tallyJournal(emptyReadTally(), 'Error: no memory\n', 0), /a reader printed: Error: no memory/);
});
