import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutputLines } from './output-lines.ts';

const limit = { timeout: 30_000 };

test('lines are put together from pieces, of each stream apart, and those already read count', limit, () => {
  const output = new OutputLines();
  output.append('stdout', 'one\ntw');
  output.append('stderr', 'err\n');
  const lines: string[] = [];
  const stop = output.onLine((line) => lines.push(line));
  output.append('stderr', 'x');
  output.append('stdout', 'o\n');
  stop();
  output.append('stdout', 'three\n');
  assert.deepEqual(lines, ['one', 'err', 'two']);
  assert.equal(output.text('stdout'), 'one\ntwo\nthree\n');
});

test('a flood is kept within limits, its beginning and its end, with and without line ends', limit, () => {
  for (const piece of ['y\n'.repeat(32_768), 'y'.repeat(65_536)]) {
    const output = new OutputLines();
    let longest = 0;
    output.onLine((line) => {
      longest = Math.max(longest, line.length);
    });
    for (let count = 0; count < 512; count++) output.append('stdout', piece);
    output.append('stdout', 'the end\n');
    assert.equal(output.text('stdout').length, 1 << 20);
    assert.ok(output.tail('stdout').length <= 8 << 10);
    assert.match(output.tail('stdout'), /the end\n$/);
    assert.ok(longest <= 128 << 10, `a line of ${longest}`);
  }
});
