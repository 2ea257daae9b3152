import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzTarget } from '../../testkit/fuzz-target.ts';
import { sealJson } from '../platform/sealed-json.ts';
import { openSlotBook, readSlotBook } from './slot-book.ts';

const directory = mkdtempSync(join(tmpdir(), 'fuzz-book-'));
const file = join(directory, 'face.json');
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

export const targets: readonly FuzzTarget[] = [
  {
    name: 'slot-book',
    seeds: [writtenBook(), Buffer.from('{"version":2,"facts":{},"next":5}\n{"digest":"a","slot":3}\n{"digest":"a"}\n')],
    dictionary: ['{"digest":"b","slot":1}', '"superblocks":["erofs,1"]', '"slot":0', '"next":-1', '\n', '\t', 'null'],
    repair: (input) => Buffer.from(input.toString('latin1').split('\n').map(reseal).join('\n')),
    run(input) {
      writeFileSync(file, input);
      const book = readSlotBook(file);
      if (book === undefined) return;
      const slots = [...book.slots.values()].map(({ slot }) => slot);
      assert.ok(slots.every((slot) => Number.isInteger(slot) && slot >= 1));
      assert.equal(new Set(slots).size, slots.length, 'two layers share a slot');
      let next: number;
      try {
        next = book.take();
      } catch (error) {
        book.remove();
        if (error instanceof RangeError) return;
        throw error;
      }
      assert.ok(Number.isInteger(next) && slots.every((slot) => slot < next), 'a slot is reused');
      book.set('new', { slot: next });
      const again = readSlotBook(file)!;
      assert.deepEqual([...again.slots], [...book.slots], 'the book reads back differently');
      again.remove();
      book.remove();
    },
  },
];

function reseal(line: string): string {
  try {
    return sealJson(JSON.parse(line.split('\t')[0]!));
  } catch {
    return line;
  }
}

function writtenBook(): Buffer {
  const book = openSlotBook(file, { kind: 'fuse' });
  book.set('sha256:aa', { slot: book.take(), superblocks: ['erofs,1'] });
  book.set('sha256:bb', { slot: book.take() });
  book.delete('sha256:aa');
  const bytes = readFileSync(file);
  book.remove();
  return bytes;
}
