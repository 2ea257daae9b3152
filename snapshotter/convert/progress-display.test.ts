import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../registry/digest.ts';
import { progressDisplay } from './progress-display.ts';

test('a terminal shows bytes, share and time left; a file a line for each finished layer', { timeout: 5_000 }, () => {
  for (const isTTY of [true, false]) {
    let nowMs = 0;
    const written: string[] = [];
    const write = (text: string): boolean => written.push(text) > 0;
    const display = progressDisplay({ isTTY, columns: 200, write } as never, () => nowMs);
    const layer = { layerCount: 2, sourceBytes: 50_000_000, imageBytes: 100_000_000, source: digestOf('') } as const;
    display.show({ ...layer, layer: 0, phase: 'fetch', doneBytes: 25_000_000, totalBytes: 50_000_000 });
    nowMs = 30_000;
    display.show({ ...layer, layer: 0, phase: 'done', totalBytes: 60_000_000, outcome: 'pushed' });
    display.show({ ...layer, layer: 1, phase: 'convert', doneBytes: 0, totalBytes: 90_000_000 });
    nowMs = 37_500;
    display.show({ ...layer, layer: 1, phase: 'fetch', doneBytes: 50_000_000, totalBytes: 50_000_000 });
    display.end();
    const lines = written.filter((text) => text !== '\r\u001b[2K');
    const finished = 'layer 1/2 e3b0c44298fc  60.0 MB  pushed\n';
    if (!isTTY) assert.deepEqual(written, [finished]);
    else {
      assert.deepEqual(lines, [
        '6 % of 100.0 MB   layer 1/2 e3b0c44298fc fetch 25.0 MB of 50.0 MB',
        finished,
        '50 % of 100.0 MB, 0:30 left',
        '62 % of 100.0 MB, 0:23 left   layer 2/2 e3b0c44298fc fetch 50.0 MB of 50.0 MB',
      ]);
      assert.equal(written.at(-1), '\r\u001b[2K');
    }
  }
});
