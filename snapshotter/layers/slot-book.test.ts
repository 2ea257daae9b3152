import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MAX_SLOT, openSlotBook, readSlotBook } from './slot-book.ts';

function bookFile(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'slot-book-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'face.json');
}

test('a book left by an earlier daemon says what is mounted, and never reuses a slot', (t) => {
  const file = bookFile(t);
  const book = openSlotBook(file, { kind: 'test' });
  const heard: unknown[] = [];
  book.onChange = (added) => heard.push(added);
  assert.deepEqual([book.take(), book.take(), book.take()], [1, 2, 3]);
  book.set('a', { slot: 1, superblocks: ['erofs,1'] });
  book.set('b', { slot: 2 });
  book.set('c', { slot: 3 });
  book.set('a', { slot: 1, superblocks: ['erofs,1', 'erofs,9'] });
  book.delete('c');
  assert.deepEqual(heard.at(-2), { slot: 1, superblocks: ['erofs,1', 'erofs,9'] });
  assert.deepEqual([heard.length, heard.at(-1)], [5, undefined]);
  // Killed in the middle of writing a line.
  appendFileSync(file, '{"digest":"d","sl');
  for (let restart = 0; restart < 2; restart++) {
    const next = readSlotBook<{ kind: string }>(file)!;
    assert.equal(next.facts.kind, 'test');
    assert.deepEqual(
      [...next.slots],
      [
        ['a', { slot: 1, superblocks: ['erofs,1', 'erofs,9'] }],
        ['b', { slot: 2 }],
      ],
    );
    assert.equal(next.take(), 4);
  }
  book.remove();
  assert.equal(readSlotBook(file), undefined);
});

test('stale lines are compacted', (t) => {
  const file = bookFile(t);
  const book = openSlotBook(file, {});
  for (let round = 0; round < 3000; round++) {
    book.set(`layer ${round}`, { slot: book.take() });
    if (round !== 7) book.delete(`layer ${round}`);
  }
  assert.ok(readFileSync(file, 'utf8').split('\n').length < 1100);
  const next = readSlotBook(file)!;
  assert.deepEqual([...next.slots.keys()], ['layer 7']);
  assert.equal(next.take(), 3001);
});

test('a file of another version or format is not read', (t) => {
  const file = bookFile(t);
  for (const text of ['', '{"version":1,"facts":{},"next":1,"slots":[]}', 'noise\n']) {
    writeFileSync(file, text);
    assert.equal(readSlotBook(file), undefined);
  }
});

test('a damaged byte invalidates the book; a torn last line does not', (t) => {
  const file = bookFile(t);
  const book = openSlotBook(file, { kind: 'test' });
  book.set('a', { slot: book.take(), superblocks: ['erofs,1'] });
  book.set('b', { slot: book.take() });
  const pristine = readFileSync(file);
  for (let at = 0; at < pristine.length - 1; at++) {
    const damaged = Buffer.from(pristine);
    damaged[at]! ^= 1;
    writeFileSync(file, damaged);
    assert.equal(readSlotBook(file), undefined, `byte ${at}`);
  }
  writeFileSync(file, pristine.subarray(0, -5));
  assert.deepEqual([...readSlotBook(file)!.slots.keys()], ['a']);
});

test('a book of version 2 is read and continued', (t) => {
  const file = bookFile(t);
  writeFileSync(file, '{"version":2,"facts":{},"next":5}\n{"digest":"a","slot":3}\n');
  const book = readSlotBook(file)!;
  book.set('b', { slot: book.take() });
  assert.deepEqual(
    [...readSlotBook(file)!.slots],
    [
      ['a', { slot: 3 }],
      ['b', { slot: 5 }],
    ],
  );
});

test('a book with a byte that is no UTF-8 is no book, and behind a torn one the next line is whole', (t) => {
  const file = bookFile(t);
  const head = '{"version":2,"facts":{},"next":5}\n';
  writeFileSync(
    file,
    Buffer.concat([Buffer.from(`${head}{"digest":"`), Buffer.from([0xff]), Buffer.from('","slot":3}\n')]),
  );
  assert.equal(readSlotBook(file), undefined);
  writeFileSync(file, Buffer.concat([Buffer.from(`${head}{"dig`), Buffer.from([0xc3])]));
  readSlotBook(file)!.set('a', { slot: 7 });
  assert.deepEqual([...readSlotBook(file)!.slots], [['a', { slot: 7 }]]);
});

test('after the last slot none is given out, and the book stays readable', (t) => {
  const file = bookFile(t);
  const book = openSlotBook(file, { kind: 'test' }, MAX_SLOT);
  book.set('a', { slot: book.take() });
  assert.throws(() => book.take(), RangeError);
  const next = readSlotBook(file)!;
  assert.deepEqual([...next.slots], [['a', { slot: MAX_SLOT }]]);
  assert.throws(() => next.take(), RangeError);
});
